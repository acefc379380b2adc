"""What every request gets, whatever becomes of it: an id, a count, a line in the log."""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import asdict, dataclass
from itertools import count
from typing import TYPE_CHECKING

from splitwire.cloud.errors import HeadersTooLarge
from splitwire.cloud.http.error_answers import failure, refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn._types import HTTPScope

    from splitwire.cloud.metrics import Metrics

REQUEST_ID_HEADER = "X-Request-Id"
MAX_HEADER_BYTES = 16_384
MAX_HEADER_LINES = 64

_LOG = logging.getLogger(__name__)
_ENTRY = "splitwire.entry"
_ID = REQUEST_ID_HEADER.lower().encode()
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(kw_only=True)
class Entry:
    """What the log says of a request that was a frame; routes fill it in as they learn it."""

    bundle: str | None = None
    quality: str | None = None
    pictures: int | None = None
    body_bytes: int | None = None


def entry_of(scope: Scope) -> Entry:
    """Find a request's entry in the journal."""
    entry: Entry = scope[_ENTRY]
    return entry


class Journal:
    """An ASGI application around another one.

    A request's id is the caller's, where that is a short plain word, or else a new one; it is
    answered in a header and stands in the log. Headers over their caps go no further.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._prefix = secrets.token_hex(4).encode()
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        request_id = self._request_id(scope)
        entry = scope[_ENTRY] = Entry()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (_ID, request_id)]
            await send(message)

        app = refusal(HeadersTooLarge(MAX_HEADER_BYTES, MAX_HEADER_LINES)) if _oversized(scope) else self._app
        try:
            await app(scope, receive, send_with_id)
        except Exception as exc:
            exc.add_note(f"request {request_id.decode()}")
            if not status:
                await failure()(scope, receive, send_with_id)
            raise  # the server logs it
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request_done(route, status)
            if _LOG.isEnabledFor(logging.INFO):
                _LOG.info(
                    "request", extra={"fields": _fields(scope, request_id.decode(), status, started, entry)}
                )

    def _request_id(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name == _ID and _SANE_ID.fullmatch(value):
                return bytes(value)
        return b"%s%x" % (self._prefix, next(self._numbers))


def header_bytes(scope: Scope | HTTPScope) -> int:
    """Count the bytes of a request's headers, its path and query included."""
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
    return size


def _oversized(scope: Scope) -> bool:
    return header_bytes(scope) > MAX_HEADER_BYTES or len(scope["headers"]) > MAX_HEADER_LINES


def _fields(scope: Scope, request_id: str, status: int, started: float, entry: Entry) -> dict[str, object]:
    return {
        "request_id": request_id,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(1e3 * (time.monotonic() - started), 3),
        **{key: value for key, value in asdict(entry).items() if value is not None},
    }
