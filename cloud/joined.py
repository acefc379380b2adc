"""Head and body of an answer leave the process together."""

from __future__ import annotations

import asyncio


class JoinedWrites(asyncio.Transport):
    """A transport that writes at the end of a turn of the event loop what it was given during it.

    uvicorn writes an answer's head and its body apart: two system calls, two packets, and a caller
    that is woken twice.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep data until the end of the turn."""
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(bytes(data))

    def is_closing(self) -> bool:
        """Tell whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Write what is kept, then close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._kept.clear()
        self._transport.abort()

    def _flush(self) -> None:
        if self._kept and not self._transport.is_closing():
            self._transport.write(b"".join(self._kept))
        self._kept.clear()
