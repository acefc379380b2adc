"""The cloud's HTTP application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from splitwire.cloud import metrics
from splitwire.cloud.http.access_log import Journal
from splitwire.cloud.http.error_answers import answer_error, answer_http_error
from splitwire.cloud.http.infer import Infer
from splitwire.cloud.http.openapi import FILE_ANSWERS, FILE_INPUTS, INFER_ANSWERS, INFER_INPUTS, errors
from splitwire.cloud.http.ranges import is_range
from splitwire.cloud.inference.service import Service
from splitwire.cloud.settings import CloudSettings
from splitwire.shared.errors import SplitwireError
from splitwire.shared.messages import BundleList, Health, Model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send


class Application(FastAPI):
    """FastAPI, but frames go straight to their route."""

    def __init__(self, service: Service) -> None:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            await service.start()
            try:
                yield
            finally:
                await service.stop()

        super().__init__(
            title="Splitwire cloud",
            summary="The second half of a split network: features in, classes out.",
            lifespan=lifespan,
            redirect_slashes=False,
        )
        self.exception_handler(SplitwireError)(answer_error)
        self.exception_handler(HTTPException)(answer_http_error)
        self.add_middleware(Journal, metrics=service.metrics)
        infer = Infer(service)
        self._infer = Journal(infer, service.metrics)
        _describe_infer(self, infer)
        _add_bundles(self, service)
        _add_state(self, service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == Infer.path and scope["method"] == "POST":
            await self._infer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: CloudSettings | None = None) -> Application:
    """Build the application; models load when it starts.

    Starting fails with a ``SplitwireError`` where bundles, device or keys can't be used.
    """
    return Application(Service(settings or CloudSettings()))


def _describe_infer(app: FastAPI, infer: Infer) -> None:
    @app.post(Infer.path, responses=INFER_ANSWERS, openapi_extra=INFER_INPUTS, name="infer")
    async def answer(request: Request) -> Response:
        """Classify every picture of a frame (docs/wire-format.md)."""
        kind, body = await infer.answer(request.scope, request.receive)
        return Response(body, media_type=kind)


def _add_bundles(app: FastAPI, service: Service) -> None:
    @app.get("/bundles", responses=errors(401, 403, 503))
    async def bundles(request: Request) -> BundleList:
        """List what a device can fetch."""
        return service.parts(_authorization(request)).files.describe()

    @app.get(
        "/bundles/{bundle}/{path:path}",  # noqa: FAST003 - as arguments they would bring a 422
        responses=FILE_ANSWERS,
        openapi_extra=FILE_INPUTS,
        response_class=FileResponse,
    )
    async def bundle_file(request: Request) -> Response:
        """Give out a file of the device's part of a bundle."""
        bundle, path = request.path_params["bundle"], request.path_params["path"]
        file = service.parts(_authorization(request)).files.find(bundle, path)
        headers = {"ETag": f'"{file.sha256}"'}
        known = request.headers.get("if-none-match", "")
        if any(tag.strip() in {headers["ETag"], "*"} for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        unchanged = request.headers.get("if-range", headers["ETag"]) == headers["ETag"]
        if not (unchanged and is_range(request.headers.get("range", ""), file.status.st_size)):
            request.scope["headers"] = [each for each in request.scope["headers"] if each[0] != b"range"]
        return FileResponse(
            file.path, headers=headers, media_type="application/octet-stream", stat_result=file.status
        )


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/model", responses=errors(401, 403, 503))
    async def model(request: Request) -> Model:
        """Describe the loaded bundles."""
        return service.parts(_authorization(request)).model

    @app.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, **errors(401, 403, 503)},
        response_class=Response,
    )
    async def prometheus(request: Request) -> Response:
        """Count and time, for Prometheus."""
        service.parts(_authorization(request))
        return Response(service.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    @app.get("/healthz")
    @app.api_route("/healthz", methods=["GET", "HEAD"], include_in_schema=False)
    async def healthz() -> Health:
        """Tell that the process lives."""
        return Health(status="alive")

    @app.get("/readyz", responses=errors(503))
    @app.api_route("/readyz", methods=["GET", "HEAD"], include_in_schema=False)
    async def readyz() -> Health:
        """Tell whether a forward pass works: it makes one, on the way that requests go, if none has just worked."""
        await service.prove_ready()
        return Health(status="ready")


def _authorization(request: Request) -> bytes:
    return request.headers.get("authorization", "").encode("latin-1")
