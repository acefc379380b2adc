"""The cloud's HTTP application."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cloud.batcher import Batcher
from cloud.body import CONTENT_TYPE, read_body
from cloud.engine import Engine
from cloud.keys import check_key, read_keys
from cloud.settings import CloudSettings
from shared.bundle import Manifest, load_bundle
from shared.errors import (
    FingerprintUnknown,
    NotReady,
    ParameterInvalid,
    PayloadInvalid,
    SplitwireError,
    codes_of,
)
from shared.frame import unpack
from shared.messages import DEADLINE_HEADER, Answer, ErrorAnswer, Health, Timings, prediction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        400: "not a valid frame",
        401: "an API key is needed",
        403: "the API key is not accepted",
        408: "the body did not arrive in time",
        409: "no loaded bundle has the frame's fingerprint",
        413: "the body is over the cap",
        415: "another Content-Type, or any Content-Encoding",
        429: "the queue is full; see Retry-After",
        503: "starting or stopping; see Retry-After",
        504: "the deadline passed before the model ran",
    }.items()
}

# Read by hand, since what is wrong with them is answered with 400, never FastAPI's 422.
_INFER_INPUTS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
    "parameters": [
        {
            "name": "top",
            "in": "query",
            "description": "how many of the likeliest classes to give",
            "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 1},
        },
        {
            "name": DEADLINE_HEADER,
            "in": "header",
            "description": "milliseconds after which the caller stops waiting",
            "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
        },
    ],
}


class _State:
    """What the routes share: nothing until the lifespan has begun."""

    def __init__(self, settings: CloudSettings) -> None:
        self.settings = settings
        self.keys: tuple[bytes, ...] = ()
        self.running: tuple[Engine, Batcher] | None = None

    def ready(self) -> tuple[Engine, Batcher]:
        if self.running is None:
            raise NotReady("starting or stopping")
        return self.running


def create_app(settings: CloudSettings | None = None) -> FastAPI:
    """Build the application; models load when it starts.

    Starting fails with a ``SplitwireError`` where bundle, device or keys can't be used.
    """
    state = _State(settings or CloudSettings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.keys = read_keys(state.settings.key_file)
        engine = await asyncio.to_thread(_load_engine, state.settings)
        batcher = Batcher(
            engine,
            queue_pictures=state.settings.queue_pictures,
            batch_pictures=state.settings.batch_pictures,
        )
        batcher.start()
        state.running = engine, batcher
        try:
            yield
        finally:
            state.running = None
            await batcher.close()

    app = FastAPI(
        title="Splitwire cloud",
        summary="The second half of a split network: features in, classes out.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.exception_handler(SplitwireError)(_answer_error)
    app.exception_handler(HTTPException)(_answer_http_error)
    app.exception_handler(Exception)(_answer_failure)
    _add_routes(app, state)
    return app


def _load_engine(settings: CloudSettings) -> Engine:
    engine = Engine(load_bundle(settings.bundle, "cloud"), settings.device)
    engine.warm_up()
    return engine


def _add_routes(app: FastAPI, state: _State) -> None:
    @app.post("/infer", responses=_ERRORS, openapi_extra=_INFER_INPUTS)
    async def infer(request: Request) -> Answer:
        """Classify every picture of a frame (docs/wire-format.md)."""
        check_key(request, state.keys)
        deadline, top = _deadline(request), _top(request)
        engine, batcher = state.ready()
        body = await read_body(request, state.settings.body_seconds)
        started = time.monotonic()
        latents = engine.decode(unpack(body))
        decoded = time.monotonic() - started
        result = await batcher.submit(latents, deadline)
        if not np.isfinite(result.probabilities).all():
            raise PayloadInvalid(latents.quality, "values too large for the network")
        return Answer(
            predictions=tuple(prediction(row, engine.manifest.classes, top) for row in result.probabilities),
            bundle=engine.manifest.id,
            quality=latents.quality,
            device=str(engine.device),
            timings_ms=Timings(
                decode=round(1e3 * decoded, 3),
                queue=round(1e3 * result.queued, 3),
                tail=round(1e3 * result.computed, 3),
            ),
        )

    @app.get("/model", responses={status: _ERRORS[status] for status in (401, 403, 503)})
    async def model(request: Request) -> Manifest:
        """Describe the loaded bundle."""
        check_key(request, state.keys)
        return state.ready()[0].manifest

    @app.get("/healthz")
    async def healthz() -> Health:
        """Tell that the process lives."""
        return Health(status="alive")

    @app.get("/readyz", responses={status: _ERRORS[status] for status in (429, 503)})
    async def readyz() -> Health:
        """Tell whether a forward pass works: it makes one, on the way that requests go."""
        engine, batcher = state.ready()
        await batcher.submit(engine.blank())
        return Health(status="ready")


def _top(request: Request) -> int:
    text = request.query_params.get("top", "1")
    if not (text.isascii() and text.isdecimal() and int(text[:9]) >= 1 and len(text) < 10):
        raise ParameterInvalid("top", text, "a whole number from 1")
    return int(text)


def _deadline(request: Request) -> float | None:
    """Find the moment at which the caller stops waiting, on the monotonic clock."""
    text = request.headers.get(DEADLINE_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ParameterInvalid(DEADLINE_HEADER, text, "the milliseconds left, a whole number")
    return time.monotonic() + int(text) / 1e3


async def _answer_error(_: Request, error: SplitwireError) -> JSONResponse:
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


async def _answer_http_error(_: Request, error: HTTPException) -> JSONResponse:
    answer = ErrorAnswer(
        error=HTTPStatus(error.status_code).phrase.replace(" ", ""),
        message=f"{error.detail}; POST a frame to /infer, or see /docs",
    )
    return JSONResponse(answer.model_dump(exclude_none=True), error.status_code, error.headers)


async def _answer_failure(_: Request, __: Exception) -> JSONResponse:
    """Answer what nobody foresaw; the server logs it."""
    answer = ErrorAnswer(
        error="Failure", message="the cloud failed on this request; the server's log says why"
    )
    return JSONResponse(answer.model_dump(exclude_none=True), 500)
