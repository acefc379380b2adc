"""HTTP on a connection: what uvicorn's protocol leaves open is bounded, refused or answered here."""

from __future__ import annotations

import asyncio
import math
import re
from typing import TYPE_CHECKING, ClassVar, Literal

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from splitwire.cloud.errors import HeadersLate, HeadersTooLarge, RequestMalformed
from splitwire.cloud.http.error_answers import last_words
from splitwire.cloud.http.limits import MAX_HEADER_BYTES, MAX_HEADER_LINES, header_bytes
from splitwire.cloud.http.transport import Transport
from splitwire.cloud.inference.admission import LARGE_BYTES
from splitwire.shared.errors import SplitwireError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_INCOMPLETE_BYTES = 16_384
"""How much of a line, a header or a chunk's size may arrive before its end does."""

_FRAMING = {b"content-length", b"transfer-encoding"}
_ONCE = _FRAMING | {b"authorization", b"content-type", b"host"}
"""Headers that a request has once: of two, others may take the other one."""
_HOST = re.compile(rb"[\w.~!$&'()*+,;=:%\[\]-]*")

_Awaited = Literal["headers", "rest", "idle", "parting"]


class State(ServerState):
    """What the connections of a server share.

    ``draining``: each is to end after its next answer. ``refused`` is told of what was refused before
    it was a request. ``left_unread``: when a large body was last left on its connection, on the loop's clock.
    """

    def __init__(self, refused: Callable[[SplitwireError], None]) -> None:
        super().__init__()
        self.draining = False
        self.refused = refused
        self.left_unread = float("-inf")


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which keeps only so much, and waits for a caller only so long.

    A request's line and headers have ``header_seconds`` from the connection, or on one that had an
    answer before, from their first bytes; such a connection may be silent for ``idle_seconds``, while
    the server drains, any for ``parting_seconds``. A body has as long as the application waits for it.
    One that was answered before its end has ``rest_seconds`` to end; where it is chunked, or more than
    ``LARGE_BYTES`` of it are to come, it is not read, and the connection ends. A caller that stops to
    read an answer has ``reading_seconds`` to go on.

    Requests that wait for the answer to one before them share the caps that one request's headers have.

    An offer to upgrade is declined, as HTTP allows: the request is served like any other. What is no
    request, or could be read as another one, is refused in its turn, and nothing behind it is read.
    """

    header_seconds: ClassVar[float] = 10.0
    rest_seconds: ClassVar[float] = 1.0
    reading_seconds: ClassVar[float] = 60.0
    idle_seconds: ClassVar[float] = 15.0
    parting_seconds: ClassVar[float] = 1.0

    server_state: State
    _receiving: Literal["headers", "body"] | None = None
    _declining = False
    _unanswered = 0
    _rejected: SplitwireError | None = None
    _incomplete_bytes = 0
    _body_bytes = 0
    _bytes_left = MAX_HEADER_BYTES
    _lines_left = MAX_HEADER_LINES
    _timer: asyncio.TimerHandle | None = None
    _awaited: _Awaited | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for headers."""
        super().connection_made(transport)
        self.transport = Transport(transport, self.loop, self.rest_seconds)
        self._bound_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._await(None)
        self._stop_reading_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and see what is still to come."""
        if self.transport.is_closing():
            self.transport.pause_reading()
            return
        if self._rejected is not None:
            return
        self._unset_keepalive_if_required()
        self._incomplete_bytes += len(data)
        try:
            self._parse(data)
        except HttpParserError as exc:
            reason = exc.__context__  # what a callback raised
            self._reject(reason if isinstance(reason, SplitwireError) else RequestMalformed("not HTTP"))
        else:
            if self._incomplete_bytes > MAX_INCOMPLETE_BYTES:
                self._reject(RequestMalformed("a line or a header is too long"))
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
        """Begin a request."""
        if self._declining:
            return
        super().on_message_begin()
        self._receiving = "headers"
        self._bytes_left, self._lines_left = MAX_HEADER_BYTES, MAX_HEADER_LINES
        for waiting, _ in self.pipeline:
            self._bytes_left -= header_bytes(waiting.scope)
            self._lines_left -= len(list(waiting.scope["headers"]))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, up to the caps. A trailer is none, whatever it is called."""
        if self._declining:
            return
        self._incomplete_bytes = 0
        self._bytes_left -= len(name) + len(value)
        if self._receiving == "headers":
            super().on_header(name, value.strip(b" \t"))
        if self._bytes_left < 0 or len(self.headers) > self._lines_left:
            if self.pipeline:
                raise RequestMalformed("more waits for an answer than one request's headers may have")
            raise HeadersTooLarge(MAX_HEADER_BYTES, MAX_HEADER_LINES)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._incomplete_bytes = 0
        if not self._declining:
            self._check_headers()
            super().on_headers_complete()
            self._body_bytes = 0
            self._unanswered += 1
            if self.server_state.draining:
                self.cycle.keep_alive = False
        self._receiving = "body"

    def on_chunk_header(self) -> None:
        """See a chunk begin."""
        self._incomplete_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._incomplete_bytes = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See a request end, unless the parser takes an offer to upgrade for its end."""
        self._incomplete_bytes = 0
        if not self.parser.should_upgrade():
            self._receiving = None
            super().on_message_complete()
            if not self.parser.should_keep_alive():  # also for what a trailer says: it reads nothing more
                self._end_after_answer()

    def on_response_complete(self) -> None:
        """See what the caller still sends."""
        super().on_response_complete()
        self._unanswered -= 1
        if self.cycle.response_complete:
            self.cycle.body.clear()  # uvicorn keeps what nobody read until the next request
        if self._rejected is not None and not self._unanswered:
            self._refuse(self._rejected)
        if self._receiving == "body" and self.cycle.response_complete:
            self._leave_large_body()
        self._bound_waiting()

    def shutdown(self) -> None:
        """Say with the last answer that is owed that it is the last; without one, part soon."""
        if self._unanswered and not self.cycle.response_started:
            self.cycle.keep_alive = False
        self._bound_waiting()

    def cut(self) -> None:
        """End the connection, whatever is under way; the application is told that the caller hung up."""
        self.transport.abort()

    def _leave_large_body(self) -> None:
        """End the connection rather than read a large body that was answered before its end."""
        announced = dict(self.headers).get(b"content-length")
        outstanding = math.inf if announced is None else int(announced) - self._body_bytes
        if outstanding > LARGE_BYTES:
            self.transport.close()
        if self.transport.is_closing() and max(int(announced or 0), self._body_bytes) > LARGE_BYTES:
            self.server_state.left_unread = self.loop.time()

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                self._decline()
            else:
                return

    def _decline(self) -> None:
        """Have the body read of a request that offers an upgrade.

        The parser has ended it with its headers, and would take the body for the next request. So
        another one is given headers that announce the same body, without the offer.
        """
        framing = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING)
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self._declining = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
        self._declining = False

    def _check_headers(self) -> None:
        """See that everyone on the way reads the same request.

        Raises:
            RequestMalformed: not everyone would.

        """
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise RequestMalformed(f"HTTP/{version} is not spoken here")
        found = [header for header in self.headers if header[0] in _ONCE]
        once = dict(found)
        if len(once) != len(found):
            raise RequestMalformed("a header that a request has once is there twice")
        host = once.get(b"host", b"" if version == "1.0" else None)
        if host is None or not _HOST.fullmatch(host):
            raise RequestMalformed("Host is absent, or no name")
        coding = once.get(b"transfer-encoding")
        if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
            raise RequestMalformed("Transfer-Encoding is not chunked")
        if self.parser.should_upgrade() and self.parser.get_method() == b"CONNECT":
            raise RequestMalformed("CONNECT is for proxies")

    @property
    def _between_requests(self) -> _Awaited:
        if self._receiving == "headers" or self._incomplete_bytes:
            return "headers"
        if self.server_state.draining:
            return "parting"
        return "headers" if self.cycle is None else "idle"

    def _bound_waiting(self) -> None:
        if self.transport.is_closing():
            self._await(None)
        elif self._receiving == "body":
            self._await("rest" if self.cycle.response_complete else None)
        else:
            self._await(None if self._unanswered else self._between_requests)

    def _await(self, what: _Awaited | None) -> None:
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
                "rest": self.rest_seconds,
                "idle": self.idle_seconds,
                "parting": self.parting_seconds,
            }
            self._timer = self.loop.call_later(seconds[what], self._give_up)

    def _give_up(self) -> None:
        if self._awaited == "headers" and self._receiving == "headers":  # who sent nothing needs no answer
            self._reject(HeadersLate(self.header_seconds))
        else:
            self.transport.close()

    def _reject(self, error: SplitwireError) -> None:
        """Answer what is being received with an error, after all that came before it; then close."""
        self._rejected = error
        receiving, self._receiving = self._receiving, None
        if receiving == "body":
            if self.cycle.response_started:  # it has its answer
                self._end_after_answer()
                return
            self._unanswered -= 1
            if self.pipeline:
                self.pipeline.popleft()
        if not self._unanswered:
            self._refuse(error)

    def _end_after_answer(self) -> None:
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def _refuse(self, error: SplitwireError) -> None:
        """Write a last answer; an application that still works on one is told that the caller hung up."""
        if self.transport.is_closing():
            return
        self.server_state.refused(error)
        self.transport.write(last_words(error))
        self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _stop_reading_timer(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
