"""What one part of the network costs in memory and time, in a process of its own."""

from __future__ import annotations

import gc
import math
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from splitwire.edge.compute.encoder import Encoder
from splitwire.edge.compute.fallback import Fallback
from splitwire.edge.compute.ncnn_head import NcnnHead
from splitwire.models.autoencoder import LATENT_SHAPE, convolutional_decoder
from splitwire.models.vgg16 import FEATURE_SHAPE, PICTURE_SHAPE, Classifier
from splitwire.report.results import Cost
from splitwire.report.statistics import spread
from splitwire.shared.bundle import CONVOLUTIONS, DECODER, ENCODER, FALLBACK, load_bundle
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from splitwire.shared.bundle import Bundle

CLASSIFIER, WIDE_CLASSIFIER = "classifier", "wide-classifier"
WIDE = (4096, 4096)
"""The hidden layers of VGG16 as it was published."""
ON_DEVICE = (CONVOLUTIONS, ENCODER, FALLBACK)
IN_CLOUD = (DECODER, CLASSIFIER, WIDE_CLASSIFIER)
PARTS = (*ON_DEVICE, *IN_CLOUD)
_WARM_UP, _REPEATS = 2, 20
_PAGES = Path("/proc/self/statm")
_PAGE_BYTES = 4096


def measure_all(bundle: Path, parts: Sequence[str], advance: Callable[[int], None]) -> dict[str, Cost]:
    """Measure parts, one process each; see ``measure``."""
    costs: dict[str, Cost] = {}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        for part in parts:
            costs[part] = processes.submit(measure, part, bundle).result()
            advance(1)
    return costs


def measure(part: str, path: Path) -> Cost:
    """Build a part, run it for one picture at a time, with one thread for numpy as on devices and in clouds.

    The device's parts are those that it runs. The cloud's are plain networks in torch with random weights, on whose
    values memory and time do not depend.
    """
    torch.ones(64, 64) @ torch.ones(64, 64)  # what torch takes in any case comes before the first look
    before = _resident()
    parameters, work = _built(part, path)
    gc.collect()
    times: list[float] = []
    with torch.inference_mode(), threadpool_limits(limits=1, user_api="blas"):
        for _ in range(_WARM_UP + _REPEATS):
            started = time.perf_counter()
            work()
            times.append(1e3 * (time.perf_counter() - started))
    after = _resident()
    return Cost(
        parameters=parameters,
        resident_bytes=None if before is None or after is None else after - before,
        milliseconds=spread(times[_WARM_UP:]),
    )


def _built(part: str, path: Path) -> tuple[int, Callable[[], object]]:
    """Give a part's number of parameters, and its work on one picture."""
    bundle = load_bundle(path, "device")
    feature = np.random.default_rng(0).random(FEATURE_SHAPE, dtype=np.float32)
    if part == CONVOLUTIONS:
        head, picture = NcnnHead(bundle), np.zeros(PICTURE_SHAPE, dtype=np.float32)
        return _parameters(bundle, part), lambda: head(picture)
    if part == ENCODER:
        encoder = Encoder(bundle, bundle.manifest.default_quality)
        return _parameters(bundle, part), lambda: encoder.latent(feature)
    if part == FALLBACK and (own := Fallback.load(bundle)):
        return _parameters(bundle, part), lambda: own(feature, top=1)
    if part == DECODER:
        return _network(convolutional_decoder(), torch.rand(1, *LATENT_SHAPE))
    if part in {CLASSIFIER, WIDE_CLASSIFIER}:
        hidden = WIDE if part == WIDE_CLASSIFIER else bundle.manifest.hidden
        return _network(Classifier(len(bundle.manifest.classes), hidden), torch.from_numpy(feature[None]))
    raise SettingsError(f"the bundle has no part {part!r}; choose one of {', '.join(PARTS)}")


def _network(network: nn.Module, inputs: torch.Tensor) -> tuple[int, Callable[[], object]]:
    network.eval()
    return sum(each.numel() for each in network.parameters()), lambda: network(inputs)


def _parameters(bundle: Bundle, part: str) -> int:
    """Count what of a part is in the device's files, for the encoder those of the default quality."""
    files = (*bundle.manifest.files.device, *bundle.quality(bundle.manifest.default_quality).files.device)
    return sum(
        math.prod(values.shape)
        for file in files
        for name, values in bundle.tensors[file].items()
        if name.startswith(f"{part}.")
    )


def _resident() -> int | None:
    """Read this process's resident memory, in bytes; None where the system does not say."""
    return int(_PAGES.read_text().split()[1]) * _PAGE_BYTES if _PAGES.exists() else None
