"""HTTP on a connection, with bounds that uvicorn leaves open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from cloud.journal import MAX_HEADER_BYTES
from cloud.refusals import refusal
from shared.errors import HeadersLate

if TYPE_CHECKING:
    from starlette.responses import Response

MAX_INCOMPLETE_BYTES = 16_384
"""How much of a line, a header or a chunk's size may arrive before its end does."""
MAX_PIPELINED = 64
"""How many requests may wait for the answer to the one before them on their connection."""


class Joined:
    def __init__(self, transport, loop):
        self._t=transport; self._loop=loop; self._p=[]
        for n in ("is_closing","pause_reading","resume_reading","get_extra_info"):
            setattr(self,n,getattr(transport,n))
    def write(self, data):
        if not self._p:
            self._loop.call_soon(self.flush)
        self._p.append(data)
    def flush(self):
        if self._p:
            self._t.write(b"".join(self._p)); self._p.clear()
    def close(self):
        self.flush(); self._t.close()
    def abort(self): self._t.abort()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which keeps only so much, and waits for a caller only so long.

    A request's line and headers have ``header_seconds`` from the connection, or from the answer
    before. A body that was answered before its end has ``rest_seconds`` to end, so that
    the caller can read the answer; then the connection is cut.
    """

    header_seconds: ClassVar[float] = 10.0
    rest_seconds: ClassVar[float] = 1.0

    _receiving: Literal["headers", "body"] | None = None
    _incomplete_bytes = 0
    _header_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _granted: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for headers."""
        super().connection_made(transport)
        self.transport = Joined(transport, self.loop)
        self._bound_waiting()

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and see what is still to come."""
        self._incomplete_bytes += len(data)
        super().data_received(data)
        if self._incomplete_bytes > MAX_INCOMPLETE_BYTES:
            self.send_400_response("A line or a header is too long.")
        self._bound_waiting()

    def on_message_begin(self) -> None:
        """Begin a request; refuse to keep more of them than a caller can need."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests before an answer")
        super().on_message_begin()
        self._receiving = "headers"
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, or a trailer, until they are over their cap: then the application can see that."""
        self._incomplete_bytes = 0
        if self._header_bytes <= MAX_HEADER_BYTES:
            self._header_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to answer."""
        self._incomplete_bytes = 0
        self._receiving = "body"
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """See a chunk begin."""
        self._incomplete_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._incomplete_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See a request end."""
        self._incomplete_bytes = 0
        self._receiving = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """See what the caller still sends."""
        super().on_response_complete()
        self._bound_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._grant(None)
        super().connection_lost(exc)

    def cut(self) -> None:
        """End the connection, whatever is under way; the application is told that the caller hung up."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP, unless there is an answer already; then close."""
        if self._is_answered:
            super().send_400_response(msg)
        self.transport.close()

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _bound_waiting(self) -> None:
        if self.transport.is_closing() or not self._is_answered:
            self._grant(None)
        else:
            self._grant(self.rest_seconds if self._receiving == "body" else self.header_seconds)

    def _grant(self, seconds: float | None) -> None:
        """Let the timer run on where the same is still being waited for."""
        if seconds == self._granted:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._granted = seconds
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self._receiving == "headers":  # who sent nothing needs no answer
            self._write(refusal(HeadersLate(self.header_seconds)))
        self.transport.close()

    def _write(self, answer: Response) -> None:
        headers = [*answer.raw_headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[answer.status_code] + lines + b"\r\n" + bytes(answer.body))
