"""What one part of the network costs in memory and time, in a process of its own.

python -m splitwire.report.measure.footprint PART --bundle DIR
"""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from splitwire.edge.compute.encoder import Encoder
from splitwire.edge.compute.fallback import Fallback
from splitwire.edge.compute.ncnn_head import NcnnHead
from splitwire.models.autoencoder import LATENT_SHAPE, ConvolutionalDecoder
from splitwire.models.vgg16 import FEATURE_SHAPE, PICTURE_SHAPE, Classifier
from splitwire.report.statistics import Spread, spread
from splitwire.shared.bundle import CONVOLUTIONS, DECODER, ENCODER, FALLBACK, default_bundle_path, load_bundle
from splitwire.shared.command import command_group, run
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

app = command_group("Measure what one part of the network costs.")


class Cost(BaseModel):
    """One part: ``resident_bytes``: growth of its process, None where unknown; time for one picture."""

    model_config = ConfigDict(frozen=True)

    parameters: int
    resident_bytes: int | None
    milliseconds: Spread


class Costs(BaseModel):
    """By part."""

    model_config = ConfigDict(frozen=True)

    parts: dict[str, Cost]


def measure_all(bundle: Path, parts: Sequence[str], advance: Callable[[int], None]) -> Costs:
    """Measure parts, one process each.

    Raises:
        SettingsError: a process failed.

    """
    costs: dict[str, Cost] = {}
    for part in parts:
        command = [sys.executable, "-m", "splitwire.report.measure.footprint", part, "--bundle", str(bundle)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SettingsError(f"the {part} could not be measured: {done.stderr.strip()}")
        costs[part] = Cost.model_validate_json(done.stdout)
        advance(1)
    return Costs(parts=costs)


@app.command()
def command(
    part: Annotated[str, typer.Argument(help=", ".join(PARTS))],
    bundle: Annotated[Path, typer.Option(help="Folder of a model bundle.")] = default_bundle_path(),
) -> None:
    """Print one part's cost as JSON."""
    typer.echo(measure(part, bundle).model_dump_json())


def measure(part: str, path: Path) -> Cost:
    """Build a part, run it for one picture at a time, with one thread for numpy as on devices and in clouds.

    Memory and time of the classifiers do not depend on the values of their weights, so these are random.

    Raises:
        SettingsError: there is no such part.
        BundleError: the bundle can't be used.

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
    bundle = load_bundle(path, "device")
    feature = np.random.default_rng(0).random(FEATURE_SHAPE, dtype=np.float32)
    if part == CONVOLUTIONS:
        head, picture = NcnnHead(bundle), np.zeros(PICTURE_SHAPE, dtype=np.float32)
        return _parameters(bundle, part), lambda: head(picture)
    if part == ENCODER:
        encoder = Encoder(bundle, bundle.manifest.default_quality)
        return _parameters(bundle, part), lambda: encoder(feature)
    if part == FALLBACK and (own := Fallback.load(bundle)):
        return _parameters(bundle, part), lambda: own(feature, top=1)
    if part == DECODER:
        return _network(ConvolutionalDecoder(), torch.rand(1, *LATENT_SHAPE))
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
    if not _PAGES.exists():
        return None
    return int(_PAGES.read_text().split()[1]) * _PAGE_BYTES


if __name__ == "__main__":
    run(app)
