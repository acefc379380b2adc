"""The request body, within its limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from shared.errors import BodyLate, BodyTooLarge, BodyTypeUnsupported
from shared.frame import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from starlette.requests import Request

CONTENT_TYPE = "application/octet-stream"


async def read_body(request: Request, seconds: float) -> bytes:
    """Read a frame's bytes while they arrive.

    Raises:
        BodyTypeUnsupported: another Content-Type, or any Content-Encoding.
        BodyTooLarge: announced or arrived, more than the largest frame.
        BodyLate: not there in time, or the caller hung up.

    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != CONTENT_TYPE:
        raise BodyTypeUnsupported(f"Content-Type is {kind or 'absent'}")
    encoding = request.headers.get("content-encoding")
    if encoding is not None:
        raise BodyTypeUnsupported(f"Content-Encoding {encoding} is not taken")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAX_FRAME_BYTES:
        raise BodyTooLarge(MAX_FRAME_BYTES)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_FRAME_BYTES:
                    raise BodyTooLarge(MAX_FRAME_BYTES)
    except (TimeoutError, ClientDisconnect):
        raise BodyLate(seconds) from None
    return bytes(body)
