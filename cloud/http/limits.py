"""What one request may take: bytes and lines of headers, bytes of a body, and the time it arrives in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from splitwire.cloud.errors import BodyLate, BodyTypeUnsupported, HeadersTooLarge
from splitwire.shared.messages import OCTETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send
    from uvicorn._types import HTTPScope

MAX_HEADER_BYTES = 16_384
MAX_HEADER_LINES = 64


def header_bytes(scope: Scope | HTTPScope) -> int:
    """Count the bytes of a request's headers, its path and query included."""
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
    return size


class HeaderLimits:
    """An ASGI application around another one, which never sees headers over their caps."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            HeadersTooLarge: its headers are over their caps.

        """
        if scope["type"] == "http" and (
            len(scope["headers"]) > MAX_HEADER_LINES or header_bytes(scope) > MAX_HEADER_BYTES
        ):
            raise HeadersTooLarge(MAX_HEADER_BYTES, MAX_HEADER_LINES)
        await self._app(scope, receive, send)


async def read_frame(
    headers: Mapping[bytes, bytes], receive: Receive, admit: Callable[[int], None], *, seconds: float
) -> bytes:
    """Read a frame's bytes, which have so many ``seconds`` to arrive.

    ``admit`` is asked for so many bytes in all: for those that are announced before any is read, otherwise as
    they come.

    Raises:
        BodyTypeUnsupported: another Content-Type, or any Content-Encoding.
        BodyLate: they did not arrive in time.
        ClientDisconnect: the caller hung up, or sent what is not HTTP and has its answer.
        SplitwireError: they were not admitted.

    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if kind != OCTETS:
        raise BodyTypeUnsupported(f"Content-Type is {kind or 'absent'}")
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        raise BodyTypeUnsupported(f"Content-Encoding {encoding.decode('latin-1')} is not taken")
    announced = headers.get(b"content-length", b"")
    admit(int(announced) if announced.isdigit() else 0)
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, more = message.get("body", b""), message.get("more_body", False)
                chunks.append(chunk)
                size += len(chunk)
                admit(size)
    except TimeoutError:
        raise BodyLate from None
    return b"".join(chunks)
