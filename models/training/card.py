"""The model card: what a bundle is, where it comes from, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from splitwire.models import paper
from splitwire.models.training.run import Run
from splitwire.models.training.sae import AutoencoderComparison
from splitwire.shared.bundle import Manifest
from splitwire.shared.evaluation import BASE, Evaluation, Share

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
    trained = run.result(run.pipeline.backbone)
    files = "\n".join(f"- `{name}`: {size / 1e6:,.2f} MB" for name, size in sizes.items())
    return f"""# Model bundle {manifest.id}

VGG16's convolutions with a convolutional autoencoder and a fully connected classifier, cut for a device
(convolutions, encoder) and a cloud (decoder, classifier).

Classes: {", ".join(manifest.classes)}.

## Accuracy

On {evaluation.pictures:,} test pictures, used for nothing else, in float32, through head, codec and tail. The head was run
with torch's convolutions, not with ncnn's, which the device ships.
`base` is the network without autoencoder, `device` the device's own small classifier. In brackets: 95 % intervals (Wilson's).

{_accuracy_table(evaluation, manifest.classes)}
{_paper_table(evaluation, manifest.classes)}{_autoencoder_table(comparison) if comparison else ""}
## Data

{origins.data}

- training: {trained.training_pictures:,} pictures (SHA-256 {trained.data_sha256[:16]}...)
- held out of the training part, to measure progress: {trained.held_out_pictures:,}
- test: {evaluation.pictures:,} (SHA-256 {evaluation.data_sha256[:16]}...)

A picture's centre square is brought to {manifest.preparation.size} pixels a side, bilinear.

## Recipe

{_stage_tables(run)}

Seed {run.seed}.

## Files

{files}

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


def _stage_tables(run: Run) -> str:
    """Set stages of a kind side by side."""
    ended = [(stage, run.result(stage)) for stage in run.needed if run.has_ended(stage)]
    blocks: list[str] = []
    for said, stages in groupby(ended, key=lambda each: each[0].table):
        columns = {stage.name: stage.rows(result) for stage, result in stages}
        rows = {name: [column[name] for column in columns.values()] for name in next(iter(columns.values()))}
        blocks += [*([said] if said else []), _table(list(columns), rows)]
    return "\n\n".join(blocks)


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

    heads = ["base", "`paper`", "difference", "the paper's VGG16", "with its CAE", "difference"]
    rows = {name: row(name, base.by_class[name], coded.by_class[name]) for name in classes}
    return f"""
Beside table 1 of the paper (Go, Kwon, Kim, 2020; 2,500 test pictures of the original release):

{_table(heads, {**rows, "all": row("all", base.accuracy, coded.accuracy)})}
"""


def _autoencoder_table(comparison: AutoencoderComparison) -> str:
    scores = (comparison.cae, comparison.sae)
    rows = {
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

{_table(["CAE", "SAE"], rows)}
"""


def _accuracy_table(evaluation: Evaluation, classes: tuple[str, ...]) -> str:
    scores = evaluation.scores
    rows = {"all": [_percent(score.accuracy) for score in scores.values()]}
    for label in classes:
        by_class = [score.by_class[label] for score in scores.values()]
        rows[f"{label} (n = {by_class[0].n})"] = [_percent(value) for value in by_class]
    rows["same answer as base"] = [_percent(score.agreement_with_base) for score in scores.values()]
    rows["request body, bytes"] = [
        "" if score.body_bytes is None else f"{score.body_bytes:,.1f}" for score in scores.values()
    ]
    table = _table(list(scores), rows)
    same = evaluation.int8_agreement_with_paper
    return table if same is None else f"{table}\n\n`int8` gives the answer of `paper` on {_percent(same)}."


def _percent(value: Share) -> str:
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"


def _table(heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    whole = {"": heads, "---": ["---"] * len(heads), **rows}
    return "\n".join(f"| {' | '.join([name, *cells])} |" for name, cells in whole.items())
