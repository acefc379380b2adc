"""Every cut offered of some networks, from picture to answer: ``make cuts``, or ``python -m tests.bench.cuts NETWORK [CUT]``.

Each network has random weights. At each cut a bundle is written as a training writes it; ncnn's outputs are compared
with torch's, and what a cloud answers to frames with what torch makes of the same latents. A line of JSON a cut is added
to ``build/cuts.jsonl``, and what passed there, or was refused, is not done again; ``docs/reference/cuts.md`` is its table.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from splitwire.cloud.inference.engine import Engine
from splitwire.edge.compute.coder import Coder
from splitwire.edge.compute.head import open_head
from splitwire.models.autoencoder import latent_shape
from splitwire.models.cuts import Cut, cuts
from splitwire.models.device import choose_compute, limit_threads
from splitwire.models.errors import TrainingError
from splitwire.models.loading import Tail
from splitwire.models.networks import PAPERS, build, preparation
from splitwire.models.training.export import write_bundle
from splitwire.models.training.pipeline import PRESETS, pipeline
from splitwire.models.training.stages.backbone import Architecture, Backbone
from splitwire.models.training.stages.stage import Draft
from splitwire.shared.bundle import Bundle, NetworkSpec, load_bundle
from splitwire.shared.errors import SettingsError
from splitwire.shared.frame import Frame, pack, unpack
from splitwire.shared.graph.running import Outputs, Runner
from splitwire.shared.pictures.loading import load_picture, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pydantic import JsonValue

NETWORKS = (
    PAPERS,
    "resnet50",
    "mobilenetv3_small_100",
    "tf_efficientnet_lite0",
    "regnety_008",
    "convnext_tiny",
)
PICTURES = Path("samples/pictures")
RESULTS, PAGE = Path("build/cuts.jsonl"), Path("docs/reference/cuts.md")
LEARNED = "q1"
CLASSES = tuple(f"class {number}" for number in range(10))
MOST_OF_OUTPUTS, LEAST_CORRELATION, MOST_OF_LOGITS, LEAST_DEVIATION = 1e-3, 0.99, 1e-2, 1e-3
_HEADING = """\
# Networks and their cuts

At every cut that `cuts` offers of these networks, a bundle with random weights was exported, and sample pictures were taken
through it, from the device's graph to the cloud's answer. `make cuts` does so and writes this page.

- *Device* is the device's share of the network's multiplications, without the autoencoder's.
- *Bytes* are those of a picture's payload: the autoencoder's latent as float32 (quality `paper`) and in 8 bits (`int8`).
- *ncnn* is how far its outputs are from torch's with the same float16 weights: the largest difference, as a share of the
  largest number. *Correlation* is with the network before its batch norms were put into the convolutions and rounded. Both
  are the worst output's.
- *Answer* is how far the logits of the cloud's answer are from those that the network makes of the same latents: the
  largest difference, as a share of their standard deviation between pictures.

A cut that can't be exported has the reason instead.
"""


class Result(BaseModel):
    """What came of a cut.

    ``device``: the device's share of all multiplications. ``payload_bytes``: by quality. ``outputs``, ``correlation``,
    ``logits``: what the page's last columns have. ``refused``: why it was not exported. ``failed``: what went wrong.
    """

    network: str
    cut: str
    shape: tuple[int, ...]
    device: float
    seconds: float = 0.0
    payload_bytes: dict[str, int] = {}
    outputs: float | None = None
    correlation: float | None = None
    logits: float | None = None
    refused: str | None = None
    failed: str | None = None


class _Features:
    """Features that are there."""

    variants = 1
    identity: Mapping[str, JsonValue] = {}

    def __init__(self, features: Tensor) -> None:
        self._features = features
        self.labels = np.zeros(len(features), dtype=np.int64)

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> Tensor:
        return self._features[indices]


@torch.no_grad()
def random_network(name: str, pictures: Tensor) -> nn.Module:
    """Build a network whose layers all matter, whose batch norms know its features, and whose logits deviate by 1."""
    torch.manual_seed(0)
    network = randomised(build(spec(name), len(CLASSES)))
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first.weight.div_(pictures.std())
    first.weight.copy_(first.weight.half())
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # the mean of all batches, of which there is one
    network.train()(pictures)
    *_, last = (layer for layer in network.eval().modules() if isinstance(layer, nn.Linear))
    last.weight /= _between_pictures(network(pictures))
    last.weight.copy_(last.weight.half())
    return network.requires_grad_(requires_grad=False)


@torch.no_grad()
def randomised(network: nn.Module) -> nn.Module:
    """Give it He's initialisation, factors and offsets that are neither 1 nor 0, all numbers those of float16."""
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
        else:
            nn.init.uniform_(parameter, 0.5, 1)
        parameter.copy_(parameter.half())
    return network


def spec(name: str, cut: str = "none yet") -> NetworkSpec:
    """Name a network, and where it is cut."""
    return NetworkSpec(name=name, cut=cut, hidden=(512, 512) if name == PAPERS else ())


def _between_pictures(logits: Tensor) -> Tensor:
    return (logits - logits.mean(0)).square().mean().sqrt()


@torch.no_grad()
def tried(name: str, network: nn.Module, cut: Cut, pictures: Tensor, folder: Path) -> dict[str, Any]:
    """Export a cut, and take pictures through it; give fields of ``Result``.

    Raises:
        TrainingError: it is refused.
        AssertionError: what was computed is not what torch computes.

    """
    draft, tails = _exported(name, network, cut, pictures, folder)
    made, fields = _head(draft, load_bundle(folder, "device"), pictures)
    return fields | _answers(folder, made, tails)


def _exported(
    name: str, network: nn.Module, cut: Cut, pictures: Tensor, folder: Path
) -> tuple[Draft, dict[str, Tail]]:
    """Write a bundle; give what its head was made of, and torch's own tail of each output."""
    torch.manual_seed(0)
    architecture = Architecture(spec=spec(name, cut.name), size=pictures.shape[-1])
    stages = pipeline(PRESETS["small"], architecture)
    quality = next(stage for stage in stages.qualities if stage.name == LEARNED)
    backbone = Backbone(network, cut.name)
    features = _Features(backbone.until()(pictures))
    classes = len(CLASSES)
    fallback, cae, learned = stages.fallback.build(classes), stages.cae.build(classes), quality.build(classes)
    for each in (fallback, cae, learned):
        randomised(each)
    quality.calibrate(learned, features)
    draft = Draft(features=features, compute=choose_compute("cpu", "float32"))
    stages.backbone.export(backbone, draft)
    stages.fallback.export(fallback, draft)
    stages.cae.export(cae, draft)
    quality.export(learned, draft)
    write_bundle(draft, folder, architecture, preparation(name), CLASSES)
    back, shape = backbone.after(), latent_shape(cut.shape)
    return draft, {
        stages.cae.name: Tail(cae.decoder, back, shape),
        LEARNED: Tail(learned.decoder, back, shape, learned.bottleneck.synthesis),
    }


def _head(draft: Draft, bundle: Bundle, pictures: Tensor) -> tuple[list[Outputs], dict[str, Any]]:
    """Compare ncnn's outputs with the torch head's, and with those of the networks that were exported."""
    graph = bundle.graph()
    run, same_weights = Runner(graph), open_head("torch", bundle, [])(pictures[0].numpy())
    made, feature = [run(picture.numpy()) for picture in pictures], draft.front(pictures)
    worst, correlation = 0.0, 1.0
    for name in graph.outputs:
        computed = np.stack([outputs[name] for outputs in made])
        expected = (draft.outputs[name](feature) if name in draft.outputs else feature).numpy()
        assert computed.shape == expected.shape, f"{name} has the shape {computed.shape}"
        off = float(np.abs(computed[0] - same_weights[name]).max() / np.abs(same_weights[name]).max())
        assert off < MOST_OF_OUTPUTS, f"ncnn computes another {name}: off by {off:.2%}"
        alike = float(np.corrcoef(computed.ravel(), expected.ravel())[0, 1])
        assert alike > LEAST_CORRELATION, f"{name} is another than before: correlation {alike:.3f}"
        worst, correlation = max(worst, off), min(correlation, alike)
    return made, {"outputs": worst, "correlation": correlation}


def _answers(folder: Path, made: list[Outputs], tails: Mapping[str, Tail]) -> dict[str, Any]:
    """Send pictures in every quality, and compare the answers with those of torch's own tails."""
    device, engine = load_bundle(folder, "device"), Engine([load_bundle(folder, "cloud")], "cpu")
    sizes, worst = dict[str, int](), 0.0
    for name, quality in device.manifest.qualities.items():
        coder, fingerprint = Coder(device, name), device.manifest.fingerprint(name)
        payloads = tuple(coder.encode(outputs[quality.output], name) for outputs in made)
        frame = unpack(pack(Frame(fingerprint=fingerprint, quality=quality.id, payloads=payloads)))
        loaded = engine.loaded(frame.fingerprint)
        decoded = loaded.decode(frame)
        latents = torch.from_numpy(device.codec(name).dequantise(np.stack(decoded.symbols)))
        wanted = tails[quality.output](latents)
        with torch.inference_mode():
            logits = loaded.tail(latents)
        deviation = float(_between_pictures(wanted))
        assert deviation > LEAST_DEVIATION, f"answers in {name} don't depend on the picture"
        off = float((logits - wanted).abs().max()) / deviation
        assert off < MOST_OF_LOGITS, f"logits in {name} are off by {off:.1%}"
        probabilities = torch.from_numpy(engine.classify([decoded]))
        assert torch.allclose(probabilities, logits.softmax(1), atol=1e-4), f"wrong answers in {name}"
        sizes[name], worst = max(map(len, payloads)), max(worst, off)
    return {"payload_bytes": sizes, "logits": worst}


def results() -> list[Result]:
    """Read what was found so far, of each cut the last."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    found = map(Result.model_validate_json, lines)
    return list({(each.network, each.cut): each for each in found}.values())


def page(found: Sequence[Result]) -> str:
    """Write the table of every network."""
    parts = [_HEADING]
    others = (result.network for result in found)
    for network in dict.fromkeys((*NETWORKS, *others)):
        rows = sorted((each for each in found if each.network == network), key=lambda row: row.device)
        if not rows:
            continue
        passed = sum(result.logits is not None for result in rows)
        parts += [
            f"## {network}\n",
            f"{passed} of {len(rows)} cuts.\n" if passed < len(rows) else f"All of {passed} cuts.\n",
            "| cut | shape | device | bytes: float32 | int8 | ncnn | correlation | answer |",
            "|---|---|---|---|---|---|---|---|",
            *map(_row, rows),
            "",
        ]
    return "\n".join(parts)


def _row(result: Result) -> str:
    cells = [f"`{result.cut}`", "x".join(map(str, result.shape)), f"{result.device:.1%}"]
    if result.logits is None:
        cells += ["", "", "", "", f"{result.refused or result.failed}".replace("|", r"\|")]
    else:
        sizes = (f"{result.payload_bytes[quality]:,}" for quality in ("paper", "int8"))
        cells += [*sizes, f"{result.outputs:.4%}", f"{result.correlation:.5f}", f"{result.logits:.4%}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Try what is not done yet, and write the page."""
    names, chosen = sys.argv[1:2] or NETWORKS, sys.argv[2:]
    limit_threads()
    RESULTS.parent.mkdir(exist_ok=True)
    for name in names:
        done = {result.cut for result in results() if result.network == name and not result.failed}
        wanted = preparation(name)
        files = sorted(PICTURES.glob("*.jpg"))
        pictures = torch.from_numpy(np.stack([prepare(load_picture(file), wanted) for file in files]))
        network = random_network(name, pictures)
        offered = cuts(network, (3, wanted.size, wanted.size))
        for cut in offered:
            if cut.name in done or (chosen and cut.name not in chosen):
                continue
            started, total = time.monotonic(), cut.front.multiplications + cut.back.multiplications
            result = Result(
                network=name, cut=cut.name, shape=cut.shape, device=cut.front.multiplications / total
            )
            with TemporaryDirectory() as folder:
                try:
                    fields = tried(name, network, cut, pictures, Path(folder) / "cut")
                except (TrainingError, SettingsError) as exc:
                    fields = {"refused": str(exc)}
                except Exception as exc:  # noqa: BLE001 - goes on with the next one
                    traceback.print_exc()
                    fields = {"failed": f"{type(exc).__name__}: {exc}"}
            result = result.model_copy(update={**fields, "seconds": round(time.monotonic() - started, 1)})
            with RESULTS.open("a") as file:
                file.write(result.model_dump_json() + "\n")
            sys.stderr.write(f"{name} {cut.name}: {result.failed or result.refused or 'passed'}\n")
            PAGE.write_text(page(results()))
    failed = [f"{result.network} {result.cut}" for result in results() if result.failed]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
