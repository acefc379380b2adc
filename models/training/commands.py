"""The stages of a training run, one command each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.training.card import CIFAR10_ORIGIN, TORCHVISION_ORIGIN, Origins
from models.training.data import balanced_sample, load_pictures
from models.training.device import Precision, choose_compute
from models.training.evaluate import Evaluation, evaluate_bundle
from models.training.export import export_bundle
from models.training.progress import CONSOLE
from models.training.run import RunSettings, StageResult, begin_run, open_run
from models.training.settings import PRESETS, AutoencoderKind, PresetName
from models.training.weights import TORCHVISION_WEIGHTS
from shared.bundle import default_bundle_path
from shared.command import command_group
from shared.errors import SettingsError

app = command_group(
    "Train Splitwire's networks: backbone, then autoencoder, then export.",
)

DataPath = Annotated[
    Path,
    typer.Option(
        envvar="SPLITWIRE_DATA",
        help="CIFAR-10 as torchvision keeps it, a folder a class, or a tar file of that.",
    ),
]
RunFolder = Annotated[Path, typer.Option("--run", help="Folder of the run: logs, checkpoints, caches.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
PrecisionName = Annotated[
    Precision,
    typer.Option("--precision", help="auto, float32 or bfloat16 (mixed precision; auto: where fast)."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training pictures.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Pictures a step.")]
_DEFAULT_RUN = Path("runs/default")


@app.command()
def backbone(
    data: DataPath,
    initial_weights: Annotated[
        str,
        typer.Option(
            envvar="SPLITWIRE_INITIAL_WEIGHTS",
            help=f"{TORCHVISION_WEIGHTS}, or a safetensors file with torchvision's names.",
        ),
    ] = TORCHVISION_WEIGHTS,
    run: RunFolder = _DEFAULT_RUN,
    preset: Annotated[
        PresetName, typer.Option(help="cached: small machines; paper: the paper's rates, for a GPU.")
    ] = "cached",
    pictures: Annotated[
        int | None, typer.Option(help="Training pictures, evenly from the classes; 0: all not held out.")
    ] = None,
    held_out: Annotated[int | None, typer.Option(help="Training pictures set aside to measure on.")] = None,
    mirrored: Annotated[bool | None, typer.Option(help="Train on mirrored pictures too.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of all stages.")] = None,
    frozen_blocks: Annotated[
        int | None, typer.Option(min=0, max=5, help="Of VGG16's five, how many are not trained.")
    ] = None,
    hidden: Annotated[str | None, typer.Option(help="Widths of the hidden layers, as 512,512.")] = None,
    epochs: Epochs = None,
    batch: Batch = None,
    convolution_rate: Annotated[float | None, typer.Option(help="Highest rate of the convolutions.")] = None,
    classifier_rate: Annotated[float | None, typer.Option(help="Highest rate of the classifier.")] = None,
    resume: Resume = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train convolutions and classifier (the first stage; begins a run)."""
    changed_data = {"pictures": pictures, "held_out": held_out, "mirrored": mirrored, "seed": seed}
    changed_backbone = {
        "frozen_blocks": frozen_blocks,
        "hidden": hidden and hidden.split(","),
        "epochs": epochs,
        "batch": batch,
        "convolution_rate": convolution_rate,
        "classifier_rate": classifier_rate,
    }
    chosen = PRESETS[preset].changed(data=changed_data, backbone=changed_backbone)
    if initial_weights != TORCHVISION_WEIGHTS:
        initial_weights = str(Path(initial_weights).resolve())
    settings = RunSettings(preset=chosen, data=str(data.resolve()), initial_weights=initial_weights)
    opened = begin_run(run, choose_compute(device, precision), settings, resume=resume)
    _report(opened.backbone(resume=resume))


@app.command()
def autoencoder(
    kind: Annotated[AutoencoderKind, typer.Option(help="cae: convolutional; sae: fully connected.")] = "cae",
    run: RunFolder = _DEFAULT_RUN,
    epochs: Epochs = None,
    batch: Batch = None,
    rate: Annotated[float | None, typer.Option(help="Highest rate.")] = None,
    resume: Resume = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train the autoencoder of the run's backbone, everything else frozen (the second stage)."""
    opened = open_run(run, choose_compute(device, precision))
    changed = {"kind": kind, "epochs": epochs, "batch": batch, "rate": rate}
    chosen = opened.settings.preset.changed(autoencoder=changed).autoencoder
    _report(opened.autoencoder(chosen, resume=resume))


@app.command()
def export(
    data: DataPath,
    bundle: Annotated[Path, typer.Option(help="Folder to write; its name becomes the bundle's id.")],
    run: RunFolder = _DEFAULT_RUN,
    weights_origin: Annotated[
        str | None,
        typer.Option(help="Origin and licence of initial weights from a file: a sentence for the card."),
    ] = None,
    data_origin: Annotated[
        str, typer.Option(help="Origin and licence of the pictures: a sentence for the card.")
    ] = CIFAR10_ORIGIN,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Write the run's networks as a model bundle, measured on the test pictures."""
    opened = open_run(run, choose_compute(device, precision))
    if weights_origin is None and opened.settings.initial_weights != TORCHVISION_WEIGHTS:
        raise SettingsError("the initial weights came from a file; state their origin with --weights-origin")
    origins = Origins(weights=weights_origin or TORCHVISION_ORIGIN, data=data_origin)
    _print_scores(export_bundle(opened, bundle, load_pictures(data, "test"), origins))


@app.command()
def evaluate(
    data: DataPath,
    bundle: Annotated[Path, typer.Option(help="Folder of the model bundle.")] = default_bundle_path(),
    limit: Annotated[int, typer.Option(min=0, help="Test pictures, evenly from the classes; 0: all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Measure a bundle on the test pictures, through its real head, codecs and tail."""
    test = load_pictures(data, "test")
    if limit:
        test = test.subset(balanced_sample(test.labels, limit, seed))
    test.check_readable()
    evaluation = evaluate_bundle(bundle, test)
    if as_json:
        typer.echo(evaluation.model_dump_json(indent=2))
    else:
        _print_scores(evaluation)


def _print_scores(evaluation: Evaluation) -> None:
    for name, score in evaluation.scores.items():
        accuracy = score.accuracy
        typer.echo(
            f"{name:8} {accuracy.value:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%}) of {accuracy.n:,} pictures"
        )


def _report(result: StageResult) -> None:
    CONSOLE.print(
        f"{result.held_out_pictures} held-out pictures: accuracy {result.held_out_accuracy:.2%}, "
        f"loss {result.held_out_loss:.4g}; {result.hours:.2f} hours on {result.compute}"
    )
