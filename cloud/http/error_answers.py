"""Errors as answers: every one is JSON with a name and what to do about it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from splitwire.cloud.errors import FingerprintUnknown, RangeUnsatisfiable
from splitwire.shared.errors import SplitwireError, codes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ErrorAnswers:
    """An ASGI application around another one, which answers what that raises."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; what nobody foresaw is raised once more, so that the server logs it."""
        answering = False

        async def noticed(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._app(scope, receive, noticed)
        except ClientDisconnect:  # nobody is there to read an answer
            return
        except Exception as error:
            if scope["type"] == "http" and not answering:
                await answer_of(error)(scope, receive, send)
                if is_foreseen(error):
                    return
            raise


def is_foreseen(error: Exception) -> bool:
    """Tell whether an error has a status of its own. A named one that has none tells of this machine, not the request."""
    return isinstance(error, HTTPException) or (
        isinstance(error, SplitwireError) and codes_of(error).status not in (0, 500)
    )


async def answer_exception(_: Request, error: Exception) -> Response:
    """Answer for FastAPI, which would use its own words; what nobody foresaw goes on to ``ErrorAnswers``."""
    if not is_foreseen(error):
        raise error
    return answer_of(error)


def answer_of(error: Exception) -> Response:
    """Write a ``splitwire.shared.messages.ErrorAnswer`` of a named error, the router's, or one that nobody foresaw."""
    if isinstance(error, SplitwireError) and is_foreseen(error):
        return _named(error)
    if isinstance(error, HTTPException):  # no such path or method
        name = HTTPStatus(error.status_code).phrase.replace(" ", "")
        message = f"{error.detail}; POST a frame to /infer, or see /docs"
        return _json({"error": name, "message": message}, error.status_code, dict(error.headers or {}))
    return _json(
        {"error": "Failure", "message": "the cloud failed on this request; the server's log says why"}, 500
    )


def last_words(error: SplitwireError) -> bytes:
    """Write an error down as the last answer of a connection, where there is no request to answer."""
    answer = _named(error)
    status = HTTPStatus(answer.status_code)
    headers = [*answer.raw_headers, (b"connection", b"close")]
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    head = f"HTTP/1.1 {status} {status.phrase}\r\n".encode()
    return head + lines + b"\r\n" + bytes(answer.body)


def _named(error: SplitwireError) -> Response:
    status = codes_of(error).status
    headers = {}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if getattr(error, "unread", False):
        headers["Connection"] = "close"
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    answer: dict[str, object] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, FingerprintUnknown):
        answer["fingerprint"] = f"{error.actual:08x}"
        answer["loaded"] = {f"{fingerprint:08x}": name for fingerprint, name in error.loaded.items()}
    return _json(answer, status, headers)


def _json(answer: dict[str, object], status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(answer), status, headers, "application/json")
