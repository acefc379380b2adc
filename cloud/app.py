"""The cloud's HTTP application."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

import shared.answer
from cloud import metrics
from cloud.accept import wants_compact
from cloud.body import read_body
from cloud.description import FILE_ANSWERS, FILE_INPUTS, INFER_ANSWERS, INFER_INPUTS, errors
from cloud.journal import Journal, entry_of
from cloud.refusals import answer_error, answer_http_error
from cloud.service import Service
from cloud.settings import CloudSettings
from shared.errors import ParameterInvalid, PayloadInvalid, SplitwireError
from shared.frame import unpack
from shared.messages import DEADLINE_HEADER, Answer, BundleList, Health, Model, Timings, prediction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from numpy.typing import NDArray

    from cloud.engine import Loaded


def create_app(settings: CloudSettings | None = None) -> FastAPI:
    """Build the application; models load when it starts.

    Starting fails with a ``SplitwireError`` where bundles, device or keys can't be used.
    """
    return build_app(Service(settings or CloudSettings()))


def build_app(service: Service) -> FastAPI:
    """Build the application around what its requests share, which starts and stops with it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="Splitwire cloud",
        summary="The second half of a split network: features in, classes out.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.exception_handler(SplitwireError)(answer_error)
    app.exception_handler(HTTPException)(answer_http_error)
    app.add_middleware(Journal, metrics=service.metrics)
    _add_infer(app, service)
    _add_bundles(app, service)
    _add_state(app, service)
    return app


def _add_infer(app: FastAPI, service: Service) -> None:
    @app.post("/infer", responses=INFER_ANSWERS, openapi_extra=INFER_INPUTS)
    async def infer(request: Request) -> Response:
        """Classify every picture of a frame (docs/wire-format.md)."""
        with service.admitted(request) as parts:
            deadline, top = _deadline(request), _top(request)
            body = await read_body(request, service.settings.body_seconds)
            started = time.monotonic()
            frame = unpack(body)
            loaded = parts.engine.loaded(frame.fingerprint)
            entry = entry_of(request)
            entry.bundle, entry.quality = loaded.manifest.id, loaded.quality
            entry.pictures, entry.body_bytes = len(frame.payloads), len(body)
            latents = parts.engine.decode(frame)
            decoded = time.monotonic() - started
            result = await parts.batcher.submit(latents, deadline)
            if not np.isfinite(result.probabilities).all():
                raise PayloadInvalid(loaded.quality, "values too large for the network")
            service.metrics.frame_timed(decoded=decoded, queued=result.queued)
            service.metrics.frame_done(
                loaded.manifest.id, loaded.quality, pictures=len(frame.payloads), body_bytes=len(body)
            )
            timings = Timings(
                decode=round(1e3 * decoded, 3),
                queue=round(1e3 * result.queued, 3),
                tail=round(1e3 * result.computed, 3),
            )
            if wants_compact(request.headers.get("accept", "")):
                return _compact_answer(result.probabilities, top, timings)
            return _json_answer(result.probabilities, top, timings, loaded, parts.model)


def _compact_answer(probabilities: NDArray[np.float32], top: int, timings: Timings) -> Response:
    most = shared.answer.MAX_GUESSES
    if min(top, probabilities.shape[1]) > most:
        raise ParameterInvalid("top", str(top), f"at most {most}, or ask for JSON")
    answer = shared.answer.compact(probabilities, top, timings)
    return Response(shared.answer.pack(answer), media_type=shared.answer.CONTENT_TYPE)


def _json_answer(
    probabilities: NDArray[np.float32], top: int, timings: Timings, loaded: Loaded, model: Model
) -> Response:
    answer = Answer(
        predictions=tuple(prediction(row, loaded.manifest.classes, top) for row in probabilities),
        bundle=loaded.manifest.id,
        quality=loaded.quality,
        device=model.device,
        timings_ms=timings,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


def _add_bundles(app: FastAPI, service: Service) -> None:
    @app.get("/bundles", responses=errors(401, 403, 503))
    async def bundles(request: Request) -> BundleList:
        """List what a device can fetch."""
        return service.parts(request).files.describe()

    @app.get(
        "/bundles/{bundle}/{path:path}",  # noqa: FAST003 - as arguments they would bring a 422
        responses=FILE_ANSWERS,
        openapi_extra=FILE_INPUTS,
        response_class=FileResponse,
    )
    async def bundle_file(request: Request) -> Response:
        """Give out a file of the device's part of a bundle."""
        bundle, path = request.path_params["bundle"], request.path_params["path"]
        file = service.parts(request).files.find(bundle, path)
        headers = {"ETag": f'"{file.sha256}"'}
        known = request.headers.get("if-none-match", "")
        if any(tag.strip() in {headers["ETag"], "*"} for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return FileResponse(
            file.path, headers=headers, media_type="application/octet-stream", stat_result=file.status
        )


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/model", responses=errors(401, 403, 503))
    async def model(request: Request) -> Model:
        """Describe the loaded bundles."""
        return service.parts(request).model

    @app.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, **errors(401, 403, 503)},
        response_class=Response,
    )
    async def prometheus(request: Request) -> Response:
        """Count and time, for Prometheus."""
        service.parts(request)
        return Response(service.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    @app.get("/healthz")
    @app.head("/healthz", include_in_schema=False)
    async def healthz() -> Health:
        """Tell that the process lives."""
        return Health(status="alive")

    @app.get("/readyz", responses=errors(429, 503))
    @app.head("/readyz", include_in_schema=False)
    async def readyz() -> Health:
        """Tell whether a forward pass works: it makes one, on the way that requests go, if none has just worked."""
        await service.prove_ready()
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
