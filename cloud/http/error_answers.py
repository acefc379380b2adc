"""Errors as answers: every one is JSON with a name and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from splitwire.cloud.errors import FingerprintUnknown, RangeUnsatisfiable
from splitwire.shared.errors import SplitwireError, codes_of


def refusal(error: SplitwireError) -> Response:
    """Answer an error that was raised on purpose."""
    headers = {}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if getattr(error, "unread", False):
        headers["Connection"] = "close"
    status = codes_of(error).status or 500
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{error.size}"
    answer: dict[str, object] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, FingerprintUnknown):
        answer["fingerprint"] = f"{error.actual:08x}"
        answer["loaded"] = {f"{fingerprint:08x}": name for fingerprint, name in error.loaded.items()}
    return _answer(answer, status, headers)


def last_words(error: SplitwireError) -> bytes:
    """Write an error down as the last answer of a connection, where there is no request to answer."""
    answer = refusal(error)
    status = HTTPStatus(answer.status_code)
    headers = [*answer.raw_headers, (b"connection", b"close")]
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    head = f"HTTP/1.1 {status} {status.phrase}\r\n".encode()
    return head + lines + b"\r\n" + bytes(answer.body)


def failure() -> Response:
    """Answer what nobody foresaw; the server logs it."""
    message = "the cloud failed on this request; the server's log says why"
    return _answer({"error": "Failure", "message": message}, 500)


async def answer_error(_: Request, error: SplitwireError) -> Response:
    """Answer what a route raised on purpose."""
    return refusal(error)


async def answer_http_error(_: Request, error: HTTPException) -> Response:
    """Answer what the router raised: no such path or method."""
    name = HTTPStatus(error.status_code).phrase.replace(" ", "")
    message = f"{error.detail}; POST a frame to /infer, or see /docs"
    return _answer({"error": name, "message": message}, error.status_code, error.headers)


def _answer(answer: dict[str, object], status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Write a ``splitwire.shared.messages.ErrorAnswer``."""
    return Response(to_json(answer), status, headers, "application/json")
