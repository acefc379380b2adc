"""Errors as answers: every one is JSON with a name and what to do about it."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from shared.errors import FingerprintUnknown, SplitwireError, codes_of
from shared.messages import ErrorAnswer


def refusal(error: SplitwireError) -> JSONResponse:
    """Answer an error that was raised on purpose."""
    status = codes_of(error).status or 500
    answer = ErrorAnswer(error=type(error).__name__, message=str(error))
    if isinstance(error, FingerprintUnknown):
        loaded = {f"{fingerprint:08x}": name for fingerprint, name in error.loaded.items()}
        answer = answer.model_copy(update={"fingerprint": f"{error.actual:08x}", "loaded": loaded})
    headers = {}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(answer.model_dump(exclude_none=True), status, headers)


def failure() -> JSONResponse:
    """Answer what nobody foresaw; the server logs it."""
    answer = ErrorAnswer(
        error="Failure", message="the cloud failed on this request; the server's log says why"
    )
    return JSONResponse(answer.model_dump(exclude_none=True), 500)


async def answer_error(_: Request, error: SplitwireError) -> JSONResponse:
    """Answer what a route raised on purpose."""
    return refusal(error)


async def answer_http_error(_: Request, error: HTTPException) -> JSONResponse:
    """Answer what the router raised: no such path or method."""
    answer = ErrorAnswer(
        error=HTTPStatus(error.status_code).phrase.replace(" ", ""),
        message=f"{error.detail}; POST a frame to /infer, or see /docs",
    )
    return JSONResponse(answer.model_dump(exclude_none=True), error.status_code, error.headers)
