"""HTTP on a connection, with bounds that uvicorn leaves open."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from cloud.joined import JoinedWrites
from cloud.journal import MAX_HEADER_BYTES
from cloud.refusals import refusal
from shared.errors import BodyLate, HeadersLate, SplitwireError

MAX_INCOMPLETE_BYTES = 16_384
"""How much of a line, a header or a chunk's size may arrive before its end does."""
MAX_PIPELINED = 64
"""How many requests may wait for the answer to the one before them on their connection."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which keeps only so much, and waits for a caller only so long.

    A request's line and headers have ``header_seconds`` from the connection, or on one that had an
    answer before, from their first bytes; such a connection may be silent for ``idle_seconds``. The
    body has ``body_seconds`` more. A body that was answered before its end has ``rest_seconds`` to
    end, so that the caller can read the answer. A caller that stops to read an answer has
    ``reading_seconds`` to go on.
    """

    header_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 10.0
    rest_seconds: ClassVar[float] = 1.0
    reading_seconds: ClassVar[float] = 60.0
    idle_seconds: ClassVar[float] = 15.0

    _receiving: Literal["headers", "body"] | None = None
    _incomplete_bytes = 0
    _header_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _awaited: Literal["headers", "body", "rest", "idle"] | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for headers."""
        super().connection_made(transport)
        self.transport = JoinedWrites(transport, self.loop)
        self._bound_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._await(None)
        self._stop_reading_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and see what is still to come."""
        self._incomplete_bytes += len(data)
        super().data_received(data)
        if self._incomplete_bytes > MAX_INCOMPLETE_BYTES:
            self.send_400_response("A line or a header is too long.")
        self._bound_waiting()

    def pause_writing(self) -> None:
        """Begin to wait for a caller that does not read."""
        super().pause_writing()
        self._stop_reading_timer()
        self._reading = self.loop.call_later(self.reading_seconds, self.cut)

    def resume_writing(self) -> None:
        """Go on: it does read."""
        self._stop_reading_timer()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """Begin a request, unless there are more than any caller needs."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests before an answer")
        super().on_message_begin()
        self._receiving = "headers"
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header or a trailer, until they are over their cap: that much shows it."""
        self._incomplete_bytes = 0
        if self._header_bytes <= MAX_HEADER_BYTES:
            self._header_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
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

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP, unless they came before another answer; then close."""
        if self._is_answered:
            super().send_400_response(msg)
        self.transport.close()

    def cut(self) -> None:
        """End the connection, whatever is under way; the application is told that the caller hung up."""
        self.transport.abort()

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _between_requests(self) -> Literal["headers", "idle"]:
        begun = self.cycle is None or self._receiving == "headers" or self._incomplete_bytes
        return "headers" if begun else "idle"

    def _bound_waiting(self) -> None:
        if self.transport.is_closing():
            self._await(None)
        elif self._receiving == "body":
            self._await("rest" if self._is_answered else "body")
        else:
            self._await(self._between_requests if self._is_answered else None)

    def _await(self, what: Literal["headers", "body", "rest", "idle"] | None) -> None:
        """Let the timer run on where the same is still being waited for."""
        if what == self._awaited:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._awaited = what
        if what is not None:
            seconds = {
                "headers": self.header_seconds,
                "body": self.body_seconds,
                "rest": self.rest_seconds,
                "idle": self.idle_seconds,
            }
            self._timer = self.loop.call_later(seconds[what], self._give_up)

    def _give_up(self) -> None:
        if self._awaited == "headers" and self._receiving == "headers":  # who sent nothing needs no answer
            self._refuse(HeadersLate(self.header_seconds))
        elif self._awaited == "body" and not self.cycle.response_started:
            self._refuse(BodyLate())
        else:
            self.transport.close()

    def _refuse(self, error: SplitwireError) -> None:
        answer = refusal(error)
        headers = [*answer.raw_headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[answer.status_code] + lines + b"\r\n" + bytes(answer.body))
        self.transport.close()

    def _stop_reading_timer(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
