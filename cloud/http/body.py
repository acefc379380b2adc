"""The request body, within its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.cloud.errors import BodyLate, BodyTooLarge, BodyTypeUnsupported
from splitwire.shared.frame import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive

CONTENT_TYPE = "application/octet-stream"


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, admit: Callable[[int], None]) -> bytes:
    """Read a frame's bytes while they arrive; how long they may take is the server's business.

    ``admit`` is asked for so many bytes in all: for those that are announced before any is read, otherwise as
    they come.

    Raises:
        BodyTypeUnsupported: another Content-Type, or any Content-Encoding.
        BodyTooLarge: announced or arrived, more than the largest frame.
        BodyLate: the caller hung up, or was cut off.
        SplitwireError: they were not admitted.

    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if kind != CONTENT_TYPE:
        raise BodyTypeUnsupported(f"Content-Type is {kind or 'absent'}")
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        raise BodyTypeUnsupported(f"Content-Encoding {encoding.decode('latin-1')} is not taken")
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > MAX_FRAME_BYTES:
        raise BodyTooLarge(MAX_FRAME_BYTES)
    admit(int(announced) if announced.isdigit() else 0)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyLate
        chunk, more = message.get("body", b""), message.get("more_body", False)
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_FRAME_BYTES:
            raise BodyTooLarge(MAX_FRAME_BYTES)
        admit(size)
    return b"".join(chunks)
