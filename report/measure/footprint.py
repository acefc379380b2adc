"""What one part of the network costs in memory and time, in a process of its own."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from splitwire.models.loading import Tail, load_tails
from splitwire.models.networks import PAPERS
from splitwire.models.vgg16 import CUT, Classifier
from splitwire.report.results import Cost
from splitwire.report.statistics import spread
from splitwire.shared.bundle import load_bundle
from splitwire.shared.errors import SettingsError
from splitwire.shared.graph.reading import CLASSES, FEATURE, PICTURE, Graph, Layer
from splitwire.shared.graph.running import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from splitwire.shared.bundle import Manifest

FRONT, ENCODER, FALLBACK = "network before the cut", "encoder", "own small classifier"
DECODER, BACK, PUBLISHED = "decoder", "network after the cut", "VGG16's classifier as published"
WIDE = (4096, 4096)
"""The hidden layers of that one."""
ON_DEVICE = (FRONT, ENCODER, FALLBACK)
IN_CLOUD = (DECODER, BACK, PUBLISHED)
PARTS = (*ON_DEVICE, *IN_CLOUD)
_WARM_UP, _REPEATS = 2, 20
_PAGES = Path("/proc/self/statm")
_PAGE_BYTES = 4096


def parts_of(manifest: Manifest) -> list[str]:
    """List the parts that a bundle has, or may be compared with."""
    network = manifest.network
    absent = {
        FALLBACK: not manifest.fallback,
        PUBLISHED: network.name != PAPERS or network.cut != CUT or network.hidden == WIDE,
    }
    return [part for part in PARTS if not absent.get(part)]


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

    The device's parts are those that it runs. The cloud's are in plain torch; the published classifier has random
    weights, on whose values memory and time do not depend.
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
    manifest, graph = bundle.manifest, bundle.graph()
    if part == FRONT:
        return _graph(graph.needed([FEATURE]), FEATURE)
    if part == ENCODER:
        output = manifest.qualities[manifest.default_quality].output
        return _graph(_after_feature(graph, output), output)
    if part == FALLBACK and manifest.fallback:
        return _graph(_after_feature(graph, CLASSES), CLASSES)
    if part == PUBLISHED and manifest.network.name == PAPERS:
        return _network(Classifier(len(manifest.classes), WIDE), torch.rand(1, *manifest.feature_shape))
    if part in {DECODER, BACK}:
        tail = load_tails(load_bundle(path, "cloud"))[manifest.default_quality]
        if part == BACK:
            return _network(tail.back, torch.rand(1, *manifest.feature_shape))
        shape = manifest.qualities[manifest.default_quality].latent_shape
        decoder = Tail(tail.decoder, nn.Identity(), tail.latent_shape, tail.synthesis)
        return _network(decoder, torch.rand(1, *shape))
    raise SettingsError(f"the bundle has no part {part!r}; choose one of {', '.join(PARTS)}")


def _graph(graph: Graph, output: str) -> tuple[int, Callable[[], object]]:
    run = Runner(graph)
    inputs = np.random.default_rng(0).random(graph.shapes[PICTURE], dtype=np.float32)
    return graph.parameters, lambda: run(inputs)[output]


def _after_feature(graph: Graph, output: str) -> Graph:
    """Leave out what comes before the feature, which becomes the input."""
    before = {layer.name for layer in graph.needed([FEATURE]).layers}
    layers = [layer for layer in graph.needed([output]).layers if layer.name not in before]
    given = {name for layer in layers for name in layer.outputs}
    shape = graph.shapes[FEATURE]
    first = Layer(
        "Input", "feature", (), (PICTURE,), dict(zip("012", map(str, reversed(shape)), strict=False))
    )
    fed = [
        replace(layer, inputs=tuple(name if name in given else PICTURE for name in layer.inputs))
        for layer in layers
    ]
    return Graph((first, *fed), {**graph.shapes, PICTURE: shape})


def _network(network: nn.Module, inputs: torch.Tensor) -> tuple[int, Callable[[], object]]:
    network.eval()
    return sum(each.numel() for each in network.parameters()), lambda: network(inputs)


def _resident() -> int | None:
    """Read this process's resident memory, in bytes; None where the system does not say."""
    return int(_PAGES.read_text().split()[1]) * _PAGE_BYTES if _PAGES.exists() else None
