"""The cloud's application: what a request passes on its way, and the routes.

server ─> AccessLog ─> ErrorAnswers ─> HeaderLimits ─> Shortcut ─> FastAPI ─> routes
                                                           └──────── POST /infer ─> Service.infer
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from splitwire.cloud import metrics
from splitwire.cloud.http.access_log import AccessLog
from splitwire.cloud.http.error_answers import ErrorAnswers, answer_exception
from splitwire.cloud.http.files import answer_file
from splitwire.cloud.http.infer import infer_with
from splitwire.cloud.http.limits import HeaderLimits
from splitwire.cloud.http.openapi import FILE_ANSWERS, FILE_INPUTS, INFER_ANSWERS, INFER_INPUTS, errors
from splitwire.cloud.inference.service import Service
from splitwire.cloud.settings import CloudSettings
from splitwire.shared.errors import SplitwireError
from splitwire.shared.messages import BundleList, Health, Model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


def create_app(settings: CloudSettings | None = None) -> ASGIApp:
    """Build the application for an ASGI server; models load when that starts it.

    Starting fails with a ``SplitwireError`` where bundles, device or keys can't be used.
    """
    return application_of(Service(settings or CloudSettings()))


@asynccontextmanager
async def running_app(settings: CloudSettings) -> AsyncIterator[ASGIApp]:
    """Run the application without an ASGI server.

    Raises:
        SplitwireError: bundles, device or keys can't be used.

    """
    service = Service(settings)
    async with service.running():
        yield application_of(service)


def application_of(service: Service) -> ASGIApp:
    """Put the application together; it starts and stops the service where its server tells it to."""
    infer = infer_with(service)
    api = FastAPI(
        title="Splitwire cloud",
        summary="The second half of a split network: features in, classes out.",
        lifespan=lambda _: service.running(),
        redirect_slashes=False,
        exception_handlers=dict.fromkeys((SplitwireError, HTTPException, Exception), answer_exception),
    )
    api.post("/infer", responses=INFER_ANSWERS, openapi_extra=INFER_INPUTS)(infer)
    _add_bundles(api, service)
    _add_state(api, service)
    shortcut = Shortcut(api, "POST", "/infer", infer)
    return AccessLog(ErrorAnswers(HeaderLimits(shortcut)), service.metrics)


class Shortcut:
    """An ASGI application around another one, which sends one route's requests straight to its function.

    FastAPI's way to a route takes longer than everything else that is done for a frame: docs/adr/0014.
    """

    def __init__(
        self, app: ASGIApp, method: str, path: str, route: Callable[[Request], Awaitable[Response]]
    ) -> None:
        self.path = path
        self._app = app
        self._method = method
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == self.path and scope["method"] == self._method:
            scope["route"] = self
            response = await self._route(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _add_bundles(api: FastAPI, service: Service) -> None:
    @api.get("/bundles", responses=errors(401, 403, 503))
    async def bundles(request: Request) -> BundleList:
        """List what a device can fetch."""
        return service.parts(_authorization(request)).files.describe()

    @api.get(
        "/bundles/{bundle}/{path:path}",  # noqa: FAST003 - as arguments they would bring a 422
        responses=FILE_ANSWERS,
        openapi_extra=FILE_INPUTS,
        response_class=FileResponse,
    )
    async def bundle_file(request: Request) -> Response:
        """Give out a file of the device's part of a bundle."""
        files = service.parts(_authorization(request)).files
        return answer_file(request, files.find(request.path_params["bundle"], request.path_params["path"]))


def _add_state(api: FastAPI, service: Service) -> None:
    @api.get("/model", responses=errors(401, 403, 503))
    async def model(request: Request) -> Model:
        """Describe the loaded bundles."""
        return service.parts(_authorization(request)).model

    @api.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {}}}, **errors(401, 403, 503)},
        response_class=Response,
    )
    async def prometheus(request: Request) -> Response:
        """Count and time, for Prometheus."""
        service.parts(_authorization(request))
        return Response(service.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    @api.get("/healthz", responses=errors())
    @api.api_route("/healthz", methods=["GET", "HEAD"], include_in_schema=False)
    async def healthz() -> Health:
        """Tell that the process lives."""
        return Health(status="alive")

    @api.get("/readyz", responses=errors(503))
    @api.api_route("/readyz", methods=["GET", "HEAD"], include_in_schema=False)
    async def readyz() -> Health:
        """Tell whether a forward pass works: it makes one, on the way that requests go, if none has just worked."""
        await service.prove_ready()
        return Health(status="ready")


def _authorization(request: Request) -> bytes:
    return request.headers.get("authorization", "").encode("latin-1")
