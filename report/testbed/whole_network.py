"""A cloud that runs everything, to compare with: picture file ──HTTP──> the whole network ──> answer.

python -m splitwire.report.testbed.whole_network --bundle DIR --host H --port P
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from cyclopts import Parameter
from fastapi import FastAPI, Request
from fastapi.responses import Response

from splitwire.cloud.http.server import Server, listen, url_of
from splitwire.cloud.settings import ServerSettings
from splitwire.edge.compute.head import open_head
from splitwire.models.device import choose_device
from splitwire.models.errors import TrainingError
from splitwire.models.graph import export_graph
from splitwire.models.loading import load_tails
from splitwire.report.picture_codecs import CROPPED, load_file
from splitwire.shared.answer import CONTENT_TYPE, compact, pack
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.command import command_line, print_line, run
from splitwire.shared.graph.reading import FEATURE, read_graph
from splitwire.shared.graph.running import Runner
from splitwire.shared.messages import Timings
from splitwire.shared.pictures.loading import normalise
from splitwire.shared.task import task_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

app = command_line("whole-network")


class WholeNetwork:
    """The network of a bundle without its cut, in float32, on a GPU where there is one."""

    def __init__(self, path: Path) -> None:
        """Load both halves."""
        self._device = choose_device("auto")
        bundle = load_bundle(path, "device")
        self.manifest = bundle.manifest
        self._head = open_head("ncnn" if self._device.type == "cpu" else "torch", bundle, [FEATURE])
        self._after_cut = after_cut(load_bundle(path, "cloud"), self._device)

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Classify a prepared picture: [3, size, size] -> logits [classes], both float32."""
        return self._after_cut(self._head(picture)[FEATURE])


def after_cut(
    bundle: Bundle, device: torch.device | None = None
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Give what a network does after its cut: [*feature_shape] -> logits [classes], both float32.

    On a processor convolutions run on ncnn, as before the cut, where it can run all: it is faster than torch.

    Args:
        bundle: with the cloud's files.
        device: None: the processor.

    """
    back, shape = load_tails(bundle)[bundle.manifest.default_quality].back, bundle.manifest.feature_shape
    on_processor = device is None or device.type == "cpu"
    if on_processor and len(shape) == 3 and any(each.ndim > 2 for each in back.parameters()):
        try:
            exported = export_graph(back, {}, (shape[0], shape[1], shape[2]))
        except TrainingError:
            pass
        else:
            run = Runner(read_graph(exported.text.encode(), exported.weights))
            return lambda feature: run(feature)[FEATURE]
    back = back.to(device)

    @torch.inference_mode()
    def classify(feature: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = back(torch.from_numpy(feature[None]).to(device))[0].cpu().numpy()
        return logits

    return classify


def create_app(network: WholeNetwork) -> FastAPI:
    """Build the application around a loaded network. It trusts what it is sent: only this report talks to it."""
    application = FastAPI(title="Splitwire's whole network")
    model_free, preparation = asyncio.Lock(), network.manifest.preparation
    task = task_of(network.manifest)

    @application.post("/classify")
    async def classify(request: Request) -> Response:
        """Classify the picture whose file is the body; answers are those of /infer, in the compact form."""
        data, view = await request.body(), preparation.view
        if CROPPED in request.headers["content-type"]:
            view = view._replace(crop=1.0)
        started = time.monotonic()
        picture = await asyncio.to_thread(lambda: normalise(np.asarray(load_file(data, view)), preparation))
        decoded = time.monotonic()
        async with model_free:
            begun = time.monotonic()
            logits = await asyncio.to_thread(network, picture)
            done = time.monotonic()
        timings = Timings(
            decode=round(1e3 * (decoded - started), 3),
            queue=round(1e3 * (begun - decoded), 3),
            tail=round(1e3 * (done - begun), 3),
        )
        likeliest = task.likeliest(*task.rank(task.probabilities(logits[None])), top=1)
        return Response(pack(compact(likeliest, timings)), media_type=CONTENT_TYPE)

    return application


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
