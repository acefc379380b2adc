"""Ways to run one quality's tail, side by side: ``make tails``, or ``python -m tests.bench.tails QUALITY BATCH THREADS [BUNDLE]``.

From latents to probabilities, float32, pictures a second. The second form prints JSON, of any bundle. ONNX Runtime and
OpenVINO are among the ways where they are installed (the extra ``peer``).
"""

from __future__ import annotations

import copy
import importlib.util
import json
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from splitwire.models.loading import Tail, load_tails
from splitwire.models.packed import pack_tails
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.cores import usable_cores
from tests.processes import pinned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Way = Callable[[NDArray[np.float32]], NDArray[np.float32]]

QUALITIES, BATCHES = ("q1", "int8"), (1, 8, 64)
ROUNDS, SECONDS = 5, 0.25
BARE = "torch", "torch, channels last"
PACKED, FOLDED = "packed", "packed, folded"


def ways_of(tail: Tail, latents: NDArray[np.float32], threads: int) -> dict[str, Way]:
    """Build every way there is here; ``latents`` are an example."""
    plain = nn.Sequential(tail, nn.Softmax(1)).eval()
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    found = {
        **dict(zip(BARE, map(_torch, (plain, last)), strict=True)),
        "torch.compile": _torch(torch.compile(plain)),
    }
    unfolded = Tail(tail.decoder, tail.back, tail.latent_shape)
    if (packed := pack_tails({"": unfolded})[""]) is not unfolded:
        before = [tail.synthesis, nn.Unflatten(1, tail.latent_shape)] if tail.synthesis else []
        found[PACKED] = _torch(nn.Sequential(*before, packed, nn.Softmax(1)))
        if tail.synthesis:
            found[FOLDED] = _torch(nn.Sequential(pack_tails({"": tail})[""], nn.Softmax(1)))
    if importlib.util.find_spec("onnxruntime"):
        found["ONNX Runtime"] = _onnx_runtime(plain, latents, threads)
    if importlib.util.find_spec("openvino"):
        found["OpenVINO"] = _openvino(plain, latents, threads)
    return found


def rates(quality: str, batch: int, threads: int, path: Path | None = None) -> dict[str, float]:
    """Time all ways in turn: the median of some rounds, pictures a second.

    Raises:
        AssertionError: a way answers something else than plain torch.

    """
    torch.set_num_threads(threads)
    bundle = load_bundle(path or default_bundle_path(), "cloud")
    shape = (batch, *bundle.codec(quality).latent_shape)
    latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ways = ways_of(load_tails(bundle)[quality], latents, threads)
    expected = ways["torch"](latents)
    for way in ways.values():
        np.testing.assert_allclose(way(latents), expected, atol=1e-5)
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            batches, started = 0, time.perf_counter()
            while (spent := time.perf_counter() - started) < SECONDS:
                way(latents)
                batches += 1
            measured[name].append(batches * batch / spent)
    return {name: statistics.median(each) for name, each in measured.items()}


def _torch(network: Callable[[torch.Tensor], torch.Tensor]) -> Way:
    @torch.inference_mode()
    def run(latents: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = network(torch.from_numpy(latents)).numpy()
        return probabilities

    return run


def _onnx_runtime(network: nn.Module, latents: NDArray[np.float32], threads: int) -> Way:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        file = f"{folder}/tail.onnx"
        torch.onnx.export(network, (torch.from_numpy(latents),), file, input_names=["y"], verbose=False)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, {"y": given})[0]


def _openvino(network: nn.Module, latents: NDArray[np.float32], threads: int) -> Way:
    import openvino  # noqa: PLC0415

    with warnings.catch_warnings(action="ignore"):
        model = openvino.convert_model(network, example_input=torch.from_numpy(latents))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda given: request.infer([given])[0]


def main() -> None:
    """Measure every quality, number of cores and batch, each in a process of its own, and print a table."""
    cores = sorted({1, min(2, usable_cores())})
    columns = [(quality, count, batch) for quality in QUALITIES for count in cores for batch in BATCHES]
    table: list[dict[str, float]] = []
    for quality, count, batch in columns:
        command = [sys.executable, "-m", __spec__.name, quality, str(batch), str(count)]
        pinning = pinned(0) if count == 1 else []
        done = subprocess.run([*pinning, *command], stdout=subprocess.PIPE, check=True)
        table.append(json.loads(done.stdout))
        sys.stderr.write(f"{quality}, {count} cores, batches of {batch}\n")
    head = [f"{quality}, {count} x {batch}" for quality, count, batch in columns]
    rows = [
        [name, *(f"{measured[name]:,.0f}" if name in measured else "" for measured in table)]
        for name in dict.fromkeys(name for measured in table for name in measured)
    ]
    for line in (["", *head], ["---"] * (len(head) + 1), *rows):
        sys.stdout.write(f"| {' | '.join(line)} |\n")
    results = [
        {"quality": quality, "cores": count, "batch": batch, "pictures_a_second": measured}
        for (quality, count, batch), measured in zip(columns, table, strict=True)
    ]
    file = Path("build/tails.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        quality, batch, threads, *bundle = sys.argv[1:]
        json.dump(rates(quality, int(batch), int(threads), *map(Path, bundle)), sys.stdout)
    else:
        main()
