"""``python -m splitwire.models.training``: from pictures to a measured model bundle."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from rich.table import Table

from splitwire.models.device import Precision, choose_compute
from splitwire.models.errors import TrainingError
from splitwire.models.training.data.batches import Parts
from splitwire.models.training.data.pictures import Pictures, Split, balanced_sample, load_pictures
from splitwire.models.training.evaluate import evaluate_bundle
from splitwire.models.training.export import (
    CIFAR10_ORIGIN,
    TORCHVISION_ORIGIN,
    Origins,
    check_name,
    export_bundle,
)
from splitwire.models.training.fitting.progress import CONSOLE
from splitwire.models.training.forecast import Forecast, forecast
from splitwire.models.training.painting.painter import PainterSettings
from splitwire.models.training.painting.paintings import paint_bundle
from splitwire.models.training.pipeline import PRESETS, STAGES, PresetName
from splitwire.models.training.provenance import run_of_bundle
from splitwire.models.training.run import Run, RunSettings, begin_run, open_run, train_stage
from splitwire.models.training.stages.convolutions import TORCHVISION_WEIGHTS
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.command import command_line, print_result
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import Evaluation

commands = command_line("python -m splitwire.models.training")
app = commands.meta

_DATA = "CIFAR-10 as torchvision keeps it, a folder a class, or a tar file of that."
_WEIGHTS = f"{TORCHVISION_WEIGHTS}, or a safetensors file with torchvision's names."
_PRESET = (
    "cached: a first result on a small machine; shipped: what made the shipped bundle, with a better teacher; "
    "paper: the paper's rates, batch and epochs; full: every layer, for a GPU."
)
_SET = "Change a setting of the preset: STAGE.NAME=VALUE; may be repeated."
_RESUME = "Keep what has ended, go on from the last checkpoint of what has not."
_FROM = "Go on from this bundle, with its preset: its networks need no training."
_STAGES = f"Of {', '.join(STAGES)}, in order; none: all that a bundle needs."
_PRECISION = "auto, float32 or bfloat16 (mixed precision; auto: where fast)."
_WEIGHTS_ORIGIN = "Origin and licence of initial weights from a file or bundle: a sentence for the card."

DataPath = Annotated[Path, Parameter(env_var="SPLITWIRE_DATA", help=_DATA)]
RunFolder = Annotated[Path, Parameter(help="Folder of the run: logs, checkpoints, caches.")]
InitialWeights = Annotated[str, Parameter(env_var="SPLITWIRE_INITIAL_WEIGHTS", help=_WEIGHTS)]
PresetOption = Annotated[PresetName, Parameter(help=_PRESET)]
Changes = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False, help=_SET)]
Resume = Annotated[bool, Parameter(negative="", help=_RESUME)]
Device = Annotated[str, Parameter(help="auto, cpu, cuda or cuda:N.")]
PrecisionName = Annotated[Precision, Parameter(help=_PRECISION)]
BundleFolder = Annotated[Path, Parameter(help="Folder to write; its name becomes the bundle's id.")]
WeightsOrigin = Annotated[str | None, Parameter(help=_WEIGHTS_ORIGIN)]
DataOrigin = Annotated[str, Parameter(help="Origin and licence of the pictures: a sentence for the card.")]
_DEFAULT_RUN = Path("runs/default")


@app.default
def launch(*words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> object:
    """Train Splitwire's networks and write them as a model bundle: `release` does it all."""
    if not words:
        commands.help_print()
        return 2
    return commands(words)


@commands.command
def release(
    *,
    data: DataPath,
    bundle: BundleFolder,
    run: RunFolder = _DEFAULT_RUN,
    initial_weights: InitialWeights = TORCHVISION_WEIGHTS,
    preset: PresetOption = "cached",
    changes: Changes = (),
    weights_origin: WeightsOrigin = None,
    data_origin: DataOrigin = CIFAR10_ORIGIN,
    resume: Resume = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train every stage, then write the bundle: weights, hashes, evaluation, sae.json, card."""
    check_name(bundle)
    settings = _settings(data, initial_weights, preset, changes)
    origins = _origins(initial_weights, weights_origin, data_origin)
    test = _test_pictures(data)
    opened = begin_run(run, choose_compute(device, precision), settings, resume=resume)
    if test.classes != opened.pictures.training.classes:
        raise TrainingError(f"{data} has other classes under test/ than under train/; give both the same")
    bundle.mkdir(parents=True, exist_ok=True)
    _train(opened, (*_needed(opened), "sae"), resume=resume)
    _export(opened, bundle, test, origins)


@commands.command
def begin(
    *,
    data: DataPath,
    run: RunFolder = _DEFAULT_RUN,
    initial_weights: InitialWeights = TORCHVISION_WEIGHTS,
    preset: PresetOption | None = None,
    changes: Changes = (),
    from_bundle: Annotated[Path | None, Parameter(name="--from", help=_FROM)] = None,
) -> None:
    """Write the settings of a run, to train it stage by stage."""
    cpu = choose_compute("cpu")
    if from_bundle:
        if preset:
            raise SettingsError("--from brings the bundle's own preset; leave out --preset")
        weights = _initial_weights(initial_weights)
        begun = run_of_bundle(run, from_bundle, data, weights, cpu, changes)
    else:
        settings = _settings(data, initial_weights, preset or "cached", changes)
        begun = begin_run(run, cpu, settings, resume=False)
    print_result(begun.settings.model_dump_json(indent=2))


@commands.command
def train(
    *stages: Annotated[str, Parameter(help=_STAGES)],
    run: RunFolder = _DEFAULT_RUN,
    resume: Resume = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train stages of a run that was begun."""
    opened = open_run(run, choose_compute(device, precision))
    _train(opened, stages or _needed(opened), resume=resume)


@commands.command
def qualities(
    *names: Annotated[str, Parameter(help="Which, as q1; none: all.")],
    run: RunFolder = _DEFAULT_RUN,
    resume: Resume = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train the learned qualities of a run, on the features of its backbone."""
    opened = open_run(run, choose_compute(device, precision))
    _train(opened, names or tuple(opened.settings.preset.qualities), resume=resume)


@commands.command
def export(
    *,
    data: DataPath,
    bundle: BundleFolder,
    run: RunFolder = _DEFAULT_RUN,
    weights_origin: WeightsOrigin = None,
    data_origin: DataOrigin = CIFAR10_ORIGIN,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Write the networks of a trained run as a bundle, measured on the test pictures."""
    opened = open_run(run, choose_compute(device, precision))
    origins = _origins(opened.settings.bundle or opened.settings.initial_weights, weights_origin, data_origin)
    test = _test_pictures(data)
    _export(opened, bundle, test, origins)


@commands.command
def evaluate(
    *,
    data: DataPath,
    bundle: Annotated[Path, Parameter(help="Folder of the model bundle.")] = default_bundle_path(),
    limit: Annotated[NonNegativeInt, Parameter(help="Test pictures, evenly from the classes; 0: all.")] = 0,
    seed: Annotated[NonNegativeInt, Parameter(help="Seed of the choice.")] = 0,
    as_json: Annotated[bool, Parameter(name="--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Measure a bundle on the test pictures: torch computes what a device computes with ncnn and numpy."""
    evaluation = evaluate_bundle(bundle, _test_pictures(data, limit, seed))
    if as_json:
        print_result(evaluation.model_dump_json(indent=2))
    else:
        _print_scores(evaluation)


@commands.command
def paint(
    *names: Annotated[str, Parameter(help="Qualities; none: paper, int8, q3, q1.")],
    data: DataPath,
    bundle: Annotated[Path, Parameter(help="Folder of a bundle: paintings.json and .png are written there.")],
    run: Annotated[Path, Parameter(help="Folder that keeps the pictures' features.")] = _DEFAULT_RUN,
    pictures: Annotated[NonNegativeInt, Parameter(help="Training pictures, evenly; 0: all.")] = 0,
    limit: Annotated[NonNegativeInt, Parameter(help="Test pictures, evenly; 0: all.")] = 1000,
    epochs: Annotated[PositiveInt, Parameter(help="Of each painter's training.")] = 6,
    seed: Annotated[NonNegativeInt, Parameter(help="Of the choice of pictures, and of the training.")] = 0,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train a painter of each quality, as who overhears codes would, and measure what these give away."""
    chosen = Parts(
        training=_pictures(data, "train", pictures, seed), held_out=_test_pictures(data, limit, seed)
    )
    found = paint_bundle(
        bundle,
        names or ("paper", "int8", "q3", "q1"),
        chosen,
        PainterSettings(epochs=epochs),
        choose_compute(device, precision),
        cache=run / "cache",
        seed=seed,
    )
    for name, each in (*found.qualities.items(), ("class", found.class_alone)):
        print_result(
            f"{name:8} PSNR {each.psnr.value:.2f} dB, SSIM {each.ssim.value:.3f}, class right "
            f"{each.accuracy.value:.1%} of {each.accuracy.n:,}"
        )
    print_result(f"pictures {found.accuracy.value:.1%}")


def _test_pictures(data: Path, limit: int = 0, seed: int = 0) -> Pictures:
    return _pictures(data, "test", limit, seed)


def _pictures(data: Path, split: Split, limit: int, seed: int) -> Pictures:
    pictures = load_pictures(data, split)
    if limit:
        pictures = pictures.subset(balanced_sample(pictures.labels, limit, seed))
    pictures.check_readable()
    return pictures


def _settings(data: Path, initial_weights: str, preset: PresetName, changes: tuple[str, ...]) -> RunSettings:
    return RunSettings(
        preset=PRESETS[preset].changed(changes),
        data=str(data.resolve()),
        initial_weights=_initial_weights(initial_weights),
    )


def _initial_weights(given: str) -> str:
    return given if given == TORCHVISION_WEIGHTS else str(Path(given).resolve())


def _origins(initial_weights: str, weights_origin: str | None, data_origin: str) -> Origins:
    if weights_origin is None and initial_weights != TORCHVISION_WEIGHTS:
        raise SettingsError(
            "the initial weights came from a file or a bundle; state their origin with --weights-origin"
        )
    return Origins(weights=weights_origin or TORCHVISION_ORIGIN, data=data_origin)


def _needed(run: Run) -> tuple[str, ...]:
    return tuple(stage.name for stage in run.needed)


def _train(run: Run, names: tuple[str, ...], *, resume: bool) -> None:
    stages = [run.stage(name) for name in names]
    ahead = [stage for stage in stages if not (resume and run.has_ended(stage))]
    if not ahead:
        return
    _announce(forecast(run, ahead))
    for stage in stages:
        if resume and run.has_ended(stage):
            continue
        result = train_stage(run, stage, resume=resume and not run.is_stale(stage))
        CONSOLE.print(
            f"{stage.name}: {result.held_out_pictures} held-out pictures, accuracy {result.held_out_accuracy:.2%}; "
            f"{result.hours:.2f} hours on {result.compute}"
        )


def _announce(forecasts: list[Forecast]) -> None:
    def row(name: str, steps: str, seconds: float, disk: int, memory: int) -> tuple[str, ...]:
        time = str(timedelta(seconds=round(seconds)))
        return name, steps, time, f"{disk / 1e9:.1f} GB", f"{memory / 1e9:.1f} GB"

    table = Table("stage", "steps", "time, about", "disk", "memory", title="Ahead", title_justify="left")
    for each in forecasts:
        table.add_row(*row(each.stage, f"{each.steps:,}", each.seconds, each.disk, each.memory))
    table.add_section()
    seconds, disk = sum(each.seconds for each in forecasts), sum(each.disk for each in forecasts)
    table.add_row(*row("all", "", seconds, disk, max(each.memory for each in forecasts)))
    CONSOLE.print(table)


def _export(run: Run, bundle: Path, test: Pictures, origins: Origins) -> None:
    _print_scores(export_bundle(run, bundle, test, origins))
    manifest = load_bundle(bundle, "cloud").manifest
    for name, digest in manifest.sha256.items():
        print_result(f"{digest}  {name}")


def _print_scores(evaluation: Evaluation) -> None:
    for name, score in evaluation.scores.items():
        accuracy = score.accuracy
        print_result(
            f"{name:8} {accuracy.value:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%}) of {accuracy.n:,} pictures"
        )
