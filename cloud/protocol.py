"""HTTP on a connection, with bounds that uvicorn leaves open."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cloud.refusals import refusal
from shared.errors import HeadersLate

MAX_INCOMPLETE_BYTES = 16_384
"""How much of a request's line and headers may arrive before their end does."""


class Protocol(H11Protocol):
    """uvicorn's protocol, which waits for a caller only so long.

    A request's line and headers have ``header_seconds`` from the connection, or from the answer
    before. A body that was answered before its end has ``rest_seconds`` to end, so that the caller
    can read the answer; then the connection is cut.
    """

    header_seconds: ClassVar[float] = 10.0
    rest_seconds: ClassVar[float] = 1.0

    _timer: asyncio.TimerHandle | None = None
    _granted: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._bound_waiting()

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and see what is still to come."""
        super().data_received(data)
        self._bound_waiting()

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
        with suppress(h11.LocalProtocolError):
            super().send_400_response(msg)
        self.transport.close()

    def _bound_waiting(self) -> None:
        theirs, ours = self.conn.their_state, self.conn.our_state
        if self.transport.is_closing():
            self._grant(None)
        elif theirs is h11.IDLE:
            self._grant(self.header_seconds)
        elif theirs is h11.SEND_BODY and ours is h11.DONE:
            self._grant(self.rest_seconds)
        else:
            self._grant(None)

    def _grant(self, seconds: float | None) -> None:
        """Let the timer run on where the same is still being waited for."""
        if seconds == self._granted:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._granted = seconds
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        if self.conn.trailing_data[0]:  # a part of the headers; who sent nothing needs no answer
            answer = refusal(HeadersLate(self.header_seconds))
            headers = [*answer.raw_headers, (b"connection", b"close")]
            with suppress(h11.LocalProtocolError):
                for event in (
                    h11.Response(status_code=answer.status_code, headers=headers, reason=b"Request Timeout"),
                    h11.Data(data=bytes(answer.body)),
                    h11.EndOfMessage(),
                ):
                    self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
