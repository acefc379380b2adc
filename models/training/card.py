"""The model card: what a bundle is, where it comes from, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from models.training.evaluate import Evaluation, Share
    from models.training.run import Run
    from shared.bundle import Manifest

TORCHVISION_ORIGIN = (
    "torchvision's VGG16_Weights.IMAGENET1K_FEATURES (BSD-3-Clause), made from the VGG16 of Karen Simonyan and "
    "Andrew Zisserman (Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014; CC BY 4.0)."
)
CIFAR10_ORIGIN = (
    "CIFAR-10 (Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009), published for "
    "research by the University of Toronto without a stated licence."
)


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where a bundle comes from, and under which licences: a sentence each."""

    weights: str
    data: str


def model_card(
    run: Run, manifest: Manifest, evaluation: Evaluation, sizes: Mapping[str, int], origins: Origins
) -> str:
    """Write the card as Markdown; every figure in it was measured or is a setting."""
    preset = run.settings.preset
    data = preset.data
    backbone, cae = run.result("backbone"), run.result("cae")
    widths = "-".join(str(width) for width in (25_088, *manifest.hidden, len(manifest.classes)))
    return f"""# Model bundle {manifest.id}

VGG16's convolutions with a convolutional autoencoder and a fully connected classifier, cut for a device
(convolutions, encoder) and a cloud (decoder, classifier).

Classes: {", ".join(manifest.classes)}.

## Accuracy

On {evaluation.pictures:,} test pictures, used for nothing else, in float32, through head, codec and tail.
`base` is the network without autoencoder. In brackets: 95 % intervals (Wilson's).

{_accuracy_table(evaluation, manifest.classes)}

## Data

{origins.data}

- training: {backbone.training_pictures:,} pictures{", each also mirrored" if data.mirrored else ""} \
(SHA-256 {backbone.data_sha256[:16]}...)
- held out of the training part, to measure progress: {backbone.held_out_pictures:,}
- test: {evaluation.pictures:,} (SHA-256 {evaluation.data_sha256[:16]}...)

A picture's centre square is brought to {manifest.preparation.size} pixels a side, bilinear.

## Recipe

| | backbone | autoencoder |
|---|---|---|
| trained | {_trained(preset.backbone.frozen_blocks)}classifier {widths} | encoder and decoder |
| loss | cross-entropy, label smoothing {preset.backbone.label_smoothing:g} | mean squared error |
| optimiser | Adam, decoupled weight decay {preset.backbone.weight_decay:g} | Adam |
| highest rate | convolutions {preset.backbone.convolution_rate:g}, \
classifier {preset.backbone.classifier_rate:g} | {cae.settings["rate"]:g} |
| schedule | {preset.backbone.schedule} | {cae.settings["schedule"]} |
| epochs, batch | {preset.backbone.epochs}, {preset.backbone.batch} \
| {cae.settings["epochs"]}, {cae.settings["batch"]} |
| accuracy on held-out pictures | {backbone.held_out_accuracy:.2%} | {cae.held_out_accuracy:.2%} |
| hours | {backbone.hours:.2f} | {cae.hours:.2f} |
| computed on | {backbone.compute} | {cae.compute} |

Seed {data.seed}.

## Files

{_lines(f"- `{name}`: {size / 1e6:,.2f} MB" for name, size in sizes.items())}

## Origin and licences

- Initial weights of the convolutions: {origins.weights}
- Pictures: as above.
- What was trained from them: the project's licence, with attribution to both.

## Limits

- It knows {len(manifest.classes)} classes and answers with one of them for every picture, also for one that
  shows none.
- It was trained on small pictures of one object each: several objects, unusual views and fine detail are outside
  of what it has seen.
- Its probabilities are the network's own, not calibrated.
- It is not meant for decisions about people or safety.
"""


def _accuracy_table(evaluation: Evaluation, classes: tuple[str, ...]) -> str:
    scores = evaluation.scores
    rows = {"": list(scores), "---": ["---"] * len(scores)}
    rows["all"] = [_percent(score.accuracy) for score in scores.values()]
    for label in classes:
        by_class = [score.by_class[label] for score in scores.values()]
        rows[f"{label} (n = {by_class[0].n})"] = [_percent(value) for value in by_class]
    rows["same answer as base"] = [_percent(score.agreement_with_base) for score in scores.values()]
    rows["payload, bytes"] = [
        "" if score.payload_bytes is None else f"{score.payload_bytes:,.0f}" for score in scores.values()
    ]
    table = _lines(f"| {' | '.join([name, *cells])} |" for name, cells in rows.items())
    same = evaluation.int8_agreement_with_paper
    return table if same is None else f"{table}\n\n`int8` gives the answer of `paper` on {_percent(same)}."


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _percent(value: Share) -> str:
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"


def _trained(frozen_blocks: int) -> str:
    if frozen_blocks == 5:
        return ""
    return "all convolutions, " if frozen_blocks == 0 else f"convolutions after block {frozen_blocks}, "
