"""What every request gets, whatever becomes of it: an id, a count, a line in the log."""

from __future__ import annotations

import logging
import re
import secrets
import time
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from splitwire.cloud.metrics import Metrics

REQUEST_ID_HEADER = "X-Request-Id"
NOTED = "splitwire.noted"
"""The scope's key of what else the log says of a request: the route that serves it adds to that."""

_LOG = logging.getLogger(__name__)
_ID = REQUEST_ID_HEADER.lower().encode()
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class AccessLog:
    """An ASGI application around another one, whose requests it counts and logs.

    A request's id is the caller's, where that is a short plain word, or else a new one; it is
    answered in a header and stands in the log.
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
        noted: dict[str, Any] = {}
        scope[NOTED] = noted
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (_ID, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as exc:
            exc.add_note(f"request {request_id.decode()}")
            raise
        finally:
            route = getattr(scope.get("route"), "path", "other")
            if status:  # else the caller hung up before it had an answer
                self._metrics.request_done(route, status)
            if _LOG.isEnabledFor(logging.INFO):
                fields = {
                    "request_id": request_id.decode(),
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(1e3 * (time.monotonic() - started), 3),
                    **noted,
                }
                _LOG.info("request", extra={"fields": fields})

    def _request_id(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name == _ID and _SANE_ID.fullmatch(value):
                return bytes(value)
        return b"%s%x" % (self._prefix, next(self._numbers))
