"""A cloud that runs everything, to compare with: picture file ──HTTP──> convolutions, classifier ──> answer.

python -m splitwire.report.testbed.whole_network --bundle DIR --host H --port P
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from cyclopts import Parameter
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from splitwire.cloud.http.server import Server, listen, url_of
from splitwire.cloud.settings import ServerSettings
from splitwire.edge.compute.fallback import likeliest
from splitwire.edge.compute.head import open_head
from splitwire.models.device import choose_device
from splitwire.models.loading import load_tails
from splitwire.report.picture_codecs import load_file
from splitwire.shared.answer import CONTENT_TYPE, compact, pack
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.command import command_line, print_line, run
from splitwire.shared.errors import PictureError
from splitwire.shared.messages import ErrorAnswer, Timings
from splitwire.shared.pictures.loading import prepare

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BODY_BYTES = 16 << 20
BODY_SECONDS = 10

app = command_line("whole-network")


class WholeNetwork:
    """Convolutions and classifier of a bundle, in float32, on a GPU where there is one.

    On the processor the convolutions run on ncnn, as on a device that splits: they are faster there than on torch.
    """

    def __init__(self, path: Path) -> None:
        """Load both halves."""
        self._device = choose_device("auto")
        bundle = load_bundle(path, "device")
        self.manifest = bundle.manifest
        self._head = open_head("ncnn" if self._device.type == "cpu" else "torch", bundle)
        tails = load_tails(load_bundle(path, "cloud"))
        self._classifier = tails[self.manifest.default_quality].classifier.to(self._device)

    @torch.inference_mode()
    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Classify a prepared picture: [3, 224, 224] -> probabilities [classes], both float32."""
        feature = torch.from_numpy(self._head(picture)[None]).to(self._device)
        logits = self._classifier(feature)
        probabilities: NDArray[np.float32] = torch.softmax(logits[0], dim=0).cpu().numpy()
        return probabilities


def create_app(network: WholeNetwork) -> FastAPI:
    """Build the application around a loaded network."""
    application = FastAPI(title="Splitwire's whole network")
    model_free = asyncio.Lock()

    @application.exception_handler(HTTPException)
    async def refuse(_: Request, error: HTTPException) -> JSONResponse:
        name = HTTPStatus(error.status_code).phrase.replace(" ", "")
        answer = ErrorAnswer(error=name, message=error.detail)
        return JSONResponse(answer.model_dump(exclude_none=True), error.status_code)

    @application.post("/classify")
    async def classify(request: Request) -> Response:
        """Classify the picture whose file is the body; answers are those of /infer, in the compact form."""
        data = await _body(request)
        started = time.monotonic()
        try:
            picture = await asyncio.to_thread(lambda: prepare(load_file(data), network.manifest.preparation))
        except PictureError as exc:
            raise HTTPException(400, f"{exc}; send a picture's file") from exc
        decoded = time.monotonic()
        async with model_free:
            begun = time.monotonic()
            probabilities = await asyncio.to_thread(network, picture)
            done = time.monotonic()
        timings = Timings(
            decode=round(1e3 * (decoded - started), 3),
            queue=round(1e3 * (begun - decoded), 3),
            tail=round(1e3 * (done - begun), 3),
        )
        answer = pack(compact([likeliest(probabilities, top=1)], timings))
        return Response(answer, media_type=CONTENT_TYPE)

    return application


async def _body(request: Request) -> bytes:
    if not request.headers.get("content-type", "").lower().startswith("image/"):
        raise HTTPException(415, "the body is not announced as a picture; send Content-Type image/*")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise HTTPException(
                        413, f"the body is over {MAX_BODY_BYTES} bytes; send a smaller picture"
                    )
    except TimeoutError as exc:
        raise HTTPException(408, "the body did not arrive in time; send it again") from exc
    return bytes(body)


@app.default
def command(
    *,
    bundle: Annotated[
        Path, Parameter(env_var="SPLITWIRE_BUNDLE", help="Folder of a model bundle.")
    ] = default_bundle_path(),
    host: Annotated[str, Parameter(help="Address to listen on; no key is asked for.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Start the server: POST /classify with a picture's file, Content-Type image/*. SIGTERM stops it."""
    settings = ServerSettings(host=host, port=port, open_to_all=True)
    with listen(settings, keys=False) as listener:
        server = Server(create_app(WholeNetwork(bundle)), connections=settings.connections)
        print_line(f"whole-network: {bundle.name}; {url_of(listener, tls=False)}")
        asyncio.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    run(app)
