"""What a protocol writes to."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Transport(asyncio.Transport):
    """A transport under which an answer leaves in one piece and arrives.

    uvicorn writes an answer's head and its body apart: two system calls, two packets, and a caller
    that is woken twice. So what is given during a turn of the event loop is written at its end: that takes a
    sixth to a fifth off the time of a small frame, on one core as on two (docs/adr/0014).

    A system that is told to close while the caller still sends resets the connection, and the caller
    may lose the answer. So after a last answer only this side ends, and the caller has ``linger_seconds``
    to do so, too (RFC 9112, 9.6).
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, linger_seconds: float
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._linger_seconds = linger_seconds
        self._kept: list[bytes] = []
        self._lingers = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep data until the end of the turn."""
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(bytes(data))

    def is_closing(self) -> bool:
        """Tell whether the connection ends."""
        return self._lingers or self._transport.is_closing()

    def close(self) -> None:
        """Write what is kept and end; at once where nothing was to be written."""
        if self.is_closing():
            return
        if self._kept and self._transport.can_write_eof():
            self._flush()
            self._lingers = True
            with suppress(OSError):  # the caller has gone
                self._transport.write_eof()
            self._transport.resume_reading()
            self._loop.call_later(self._linger_seconds, self._transport.close)
        else:
            self._flush()
            self._transport.close()

    def pause_reading(self) -> None:
        """Let a caller wait that sends on after its last answer: reading megabytes costs more than the answer did."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def abort(self) -> None:
        """Close at once."""
        self._kept.clear()
        self._transport.abort()

    def _flush(self) -> None:
        if self._kept and not self.is_closing():
            self._transport.write(b"".join(self._kept))
        self._kept.clear()
