"""The model card: what a bundle is, where it comes from, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from splitwire.models import paper
from splitwire.models.training.settings import (
    ConvolutionSettings,
    DataSettings,
    FallbackSettings,
    TeacherSettings,
)
from splitwire.shared.evaluation import BASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from splitwire.models.training.run import Run
    from splitwire.models.training.sae import AutoencoderComparison
    from splitwire.shared.bundle import Manifest
    from splitwire.shared.evaluation import Evaluation, Share

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
    run: Run,
    manifest: Manifest,
    evaluation: Evaluation,
    comparison: AutoencoderComparison | None,
    sizes: Mapping[str, int],
    origins: Origins,
) -> str:
    """Write the card as Markdown; every figure in it was measured or is a setting."""
    last = run.result(run.last_backbone_stage)
    return f"""# Model bundle {manifest.id}

VGG16's convolutions with a convolutional autoencoder and a fully connected classifier, cut for a device
(convolutions, encoder) and a cloud (decoder, classifier).

Classes: {", ".join(manifest.classes)}.

## Accuracy

On {evaluation.pictures:,} test pictures, used for nothing else, in float32, through head, codec and tail.
`base` is the network without autoencoder, `device` the device's own small classifier. In brackets: 95 % intervals (Wilson's).

{_accuracy_table(evaluation, manifest.classes)}
{_paper_table(evaluation, manifest.classes)}{_autoencoder_table(comparison) if comparison else ""}
## Data

{origins.data}

- training: {last.training_pictures:,} pictures (SHA-256 {last.data_sha256[:16]}...)
- held out of the training part, to measure progress: {last.held_out_pictures:,}
- test: {evaluation.pictures:,} (SHA-256 {evaluation.data_sha256[:16]}...)

A picture's centre square is brought to {manifest.preparation.size} pixels a side, bilinear.

## Recipe

{_recipe_table(run, manifest)}
{_qualities_table(run)}
Seed {run.seed}.

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


def _recipe_table(run: Run, manifest: Manifest) -> str:
    preset = run.settings.preset
    stages = [stage for stage in preset.stages if stage not in preset.qualities and run.has_ended(stage)]
    rows: dict[str, list[str]] = {"": list(stages), "---": ["---"] * len(stages)}
    descriptions = [_description(run, stage, manifest) for stage in stages]
    for name in descriptions[0]:
        rows[name] = [description[name] for description in descriptions]
    return _table(rows)


def _description(run: Run, stage: str, manifest: Manifest) -> dict[str, str]:
    settings, result = run.settings.preset.settings_of(stage), run.result(stage)
    if isinstance(settings, TeacherSettings):
        trained = (
            f"small network on the pictures' own pixels, {_widths(settings.widths)} channels; it teaches only"
        )
        loss = f"cross-entropy, label smoothing {settings.label_smoothing:g}"
        optimiser = f"SGD, Nesterov's momentum 0.9, weight decay {settings.weight_decay:g}"
        rate, pictures = f"{settings.rate:g}", _changes(mirrored=True, shift=settings.shift)
    elif isinstance(settings, ConvolutionSettings):
        classifier = _widths((25_088, *manifest.hidden, len(manifest.classes)))
        trained = f"{_blocks(settings.frozen_blocks)}classifier {classifier}"
        loss = f"cross-entropy, label smoothing {settings.label_smoothing:g}"
        if settings.soft_labels:
            loss = f"{settings.soft_labels:g} teacher's labels, {1 - settings.soft_labels:g} {loss}"
        optimiser = (
            f"Adam, decoupled weight decay {settings.weight_decay:g}" if settings.weight_decay else "Adam"
        )
        rate = f"convolutions {settings.convolution_rate:g}, classifier {settings.classifier_rate:g}"
        pictures = _changes(mirrored=settings.mirrored, shift=settings.shift)
    elif isinstance(settings, FallbackSettings):
        widths = _widths((512, *settings.hidden, len(manifest.classes)))
        trained = f"the device's own classifier, {widths}"
        loss = f"cross-entropy, label smoothing {settings.label_smoothing:g}"
        optimiser = f"Adam, decoupled weight decay {settings.weight_decay:g}"
        rate, pictures = f"{settings.rate:g}", _variants(result.data)
    else:
        trained, loss, optimiser = "encoder and decoder", "mean squared error", "Adam"
        rate, pictures = f"{settings.rate:g}", _variants(result.data)
    return {
        "trained": trained,
        "loss": loss,
        "optimiser": optimiser,
        "highest rate": rate,
        "schedule": settings.schedule,
        "pictures": pictures,
        "epochs, batch": f"{settings.epochs}, {settings.batch}",
        "accuracy on held-out pictures": f"{result.held_out_accuracy:.2%}",
        "hours": f"{result.hours:.2f}",
        "computed on": result.compute,
    }


def _variants(data: DataSettings) -> str:
    drawn = data.variants - (1 if data.plain else 0)
    said = [
        *(["as they are"] if data.plain else []),
        *([f"{drawn} times mirrored and moved"] if drawn else []),
    ]
    return ", and ".join(said)


def _qualities_table(run: Run) -> str:
    """Say how the learned qualities were trained; nothing where there are none."""
    learned = {name: s for name, s in run.settings.preset.qualities.items() if run.has_ended(name)}
    if not learned:
        return ""
    rows: dict[str, list[str]] = {"": list(learned), "---": ["---"] * len(learned)}
    rows["integers a picture"] = [str(settings.numbers) for settings in learned.values()]
    rows["layers"] = [_widths((3200, *s.hidden, s.numbers)) + " and back" for s in learned.values()]
    rows["payload aimed at, bytes"] = [f"{settings.payload_bytes:g}" for settings in learned.values()]
    rows["weight of a bit beyond, of the class"] = [
        f"{settings.rate_weight:g}, {settings.class_weight:g}" for settings in learned.values()
    ]
    rows["mixup, share of unmixed"] = [f"{s.mixup:g}, {s.unmixed:g}" for s in learned.values()]
    rows["epochs, batch, highest rate"] = [
        f"{settings.epochs}, {settings.batch}, {settings.rate:g}" for settings in learned.values()
    ]
    results = [run.result(name) for name in learned]
    rows["pictures"] = [f"{r.training_pictures:,}, {_variants(r.data)}" for r in results]
    rows["accuracy on held-out pictures"] = [f"{result.held_out_accuracy:.2%}" for result in results]
    rows["hours"] = [f"{result.hours:.2f}" for result in results]
    return f"""
The learned qualities: encoder and decoder from the `cae` stage on, and what lies between them, for the divergence
from the uncompressed network's answers, the class, and the rate:

{_table(rows)}
"""


def _changes(*, mirrored: bool, shift: int) -> str:
    changes = [*(["mirrored"] if mirrored else []), *([f"moved by up to {shift} pixels"] if shift else [])]
    return " and ".join(changes) or "as they are"


def _paper_table(evaluation: Evaluation, classes: tuple[str, ...]) -> str:
    """Set the paper's table 1 beside ours, where the classes are the same."""
    if set(classes) != set(paper.ACCURACY):
        return ""
    base, coded = evaluation.scores[BASE], evaluation.scores["paper"]
    papers = {**paper.ACCURACY, "all": paper.AVERAGE_ACCURACY}

    def row(name: str, without: Share, with_autoencoder: Share) -> list[str]:
        difference = 100 * (with_autoencoder.value - without.value)
        papers_without, papers_with = papers[name]
        return [
            f"{without.value:.1%}",
            f"{with_autoencoder.value:.1%}",
            f"{difference:+.1f}",
            f"{papers_without:g}%",
            f"{papers_with:g}%",
            f"{papers_with - papers_without:+.1f}",
        ]

    rows = {
        "": ["base", "`paper`", "difference", "the paper's VGG16", "with its CAE", "difference"],
        "---": ["---"] * 6,
        **{name: row(name, base.by_class[name], coded.by_class[name]) for name in classes},
        "all": row("all", base.accuracy, coded.accuracy),
    }
    return f"""
Beside table 1 of the paper (Go, Kwon, Kim, 2020; 2,500 test pictures of the original release):

{_table(rows)}
"""


def _autoencoder_table(comparison: AutoencoderComparison) -> str:
    scores = (comparison.cae, comparison.sae)
    rows = {
        "": ["CAE", "SAE"],
        "---": ["---"] * 2,
        "parameters": [f"{score.parameters:,}" for score in scores],
        "reconstruction error (MSE)": [f"{score.reconstruction_error:.3f}" for score in scores],
        "accuracy": [_percent(score.accuracy) for score in scores],
        "epochs, batch, highest rate": [
            f"{score.settings.epochs}, {score.settings.batch}, {score.settings.rate:g}" for score in scores
        ],
        "hours": [f"{score.hours:.2f}" for score in scores],
    }
    return f"""
The fully connected autoencoder (SAE) at the same code size, {comparison.code_elements:,} elements, both on
{comparison.compute}; its weights are not part of the bundle:

{_table(rows)}
"""


def _accuracy_table(evaluation: Evaluation, classes: tuple[str, ...]) -> str:
    scores = evaluation.scores
    rows = {"": list(scores), "---": ["---"] * len(scores)}
    rows["all"] = [_percent(score.accuracy) for score in scores.values()]
    for label in classes:
        by_class = [score.by_class[label] for score in scores.values()]
        rows[f"{label} (n = {by_class[0].n})"] = [_percent(value) for value in by_class]
    rows["same answer as base"] = [_percent(score.agreement_with_base) for score in scores.values()]
    rows["request body, bytes"] = [
        "" if score.body_bytes is None else f"{score.body_bytes:,.1f}" for score in scores.values()
    ]
    table = _table(rows)
    same = evaluation.int8_agreement_with_paper
    return table if same is None else f"{table}\n\n`int8` gives the answer of `paper` on {_percent(same)}."


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _percent(value: Share) -> str:
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"


def _table(rows: Mapping[str, list[str]]) -> str:
    return _lines(f"| {' | '.join([name, *cells])} |" for name, cells in rows.items())


def _widths(widths: Iterable[int]) -> str:
    return "-".join(str(width) for width in widths)


def _blocks(frozen: int) -> str:
    if frozen == 5:
        return ""
    return "all convolutions, " if frozen == 0 else f"convolutions after block {frozen}, "
