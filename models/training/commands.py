"""``python -m splitwire.models.training``: from pictures to a measured model bundle."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt
from rich.table import Table
from safetensors import SafetensorError, safe_open

from splitwire.models.device import Precision, choose_compute
from splitwire.models.errors import TrainingError
from splitwire.models.networks import DOWNLOAD, PAPERS, preparation
from splitwire.models.training.cuts_command import NetworkName, cuts
from splitwire.models.training.data.batches import Parts
from splitwire.models.training.data.check import check, say
from splitwire.models.training.data.layouts import TAR_SUFFIXES
from splitwire.models.training.data.pictures import (
    Pictures,
    check_amount,
    is_cifar10,
    load_parts,
    load_pictures,
    stratified_sample,
)
from splitwire.models.training.evaluate import evaluate_bundle
from splitwire.models.training.export import (
    CIFAR10_ORIGIN,
    NOT_STATED,
    TORCHVISION_ORIGIN,
    Origins,
    check_cut,
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
from splitwire.models.training.stages.backbone import default_cut
from splitwire.models.training.yardstick import shortcomings
from splitwire.models.vgg16 import CUT
from splitwire.shared.bundle import Manifest, default_bundle_path, load_bundle
from splitwire.shared.command import command_line, print_result
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import Evaluation

commands = command_line("python -m splitwire.models.training")
app = commands.meta
commands.command(cuts)

_DATA = "A folder a class, or train/ and test/ with such folders, or a tar file of that; or CIFAR-10 as torchvision keeps it."
_CUT = (
    f"Where it is cut, as `cuts` lists it; else {CUT} for {PAPERS}, for others where the smallest maps cross."
)
_WEIGHTS = (
    f"{DOWNLOAD}: torchvision's for {PAPERS}, timm's for others; or a safetensors file with their names."
)
_PRESET = (
    "small: pictures in folders, on two cores; shipped: what made the shipped bundle (vgg16), with a better teacher; "
    "paper: the paper's rates, batch and epochs; full: every layer, for a GPU."
)
_SET = "Change a setting of the preset: STAGE.NAME=VALUE; may be repeated."
_RESUME = "Keep what has ended, go on from the last checkpoint of what has not."
_FROM = "Go on from this bundle, with its preset: its networks need no training."
_STAGES = f"Of {', '.join(STAGES)}, in order; none: all that a bundle needs."
_PRECISION = "auto, float32 or bfloat16 (mixed precision; auto: where fast)."
_ALL = "Keep qualities that answer worse than one with fewer bytes, or than the device's own classifier."
_NEW_BUNDLE = (
    "Folder to write; its name becomes the bundle's id. Without: bundles/NAME, as the data is called."
)
_NEW_RUN = "Folder of the run: logs, checkpoints, caches. Without: runs/NAME, as the bundle is called."
_WEIGHTS_ORIGIN = "Origin and licence of initial weights from a file or bundle: a sentence for the card."
_DATA_ORIGIN = "Origin and licence of the pictures: a sentence for the card."

DataPath = Annotated[Path, Parameter(env_var="SPLITWIRE_DATA", help=_DATA)]
RunFolder = Annotated[Path, Parameter(help="Folder of the run: logs, checkpoints, caches.")]
CutName = Annotated[str | None, Parameter(help=_CUT)]
InitialWeights = Annotated[str, Parameter(env_var="SPLITWIRE_INITIAL_WEIGHTS", help=_WEIGHTS)]
PresetOption = Annotated[PresetName, Parameter(help=_PRESET)]
Changes = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False, help=_SET)]
Resume = Annotated[bool, Parameter(negative="", help=_RESUME)]
Device = Annotated[str, Parameter(help="auto, cpu, cuda or cuda:N.")]
PrecisionName = Annotated[Precision, Parameter(help=_PRECISION)]
BundleFolder = Annotated[Path, Parameter(help="Folder to write; its name becomes the bundle's id.")]
WeightsOrigin = Annotated[str | None, Parameter(help=_WEIGHTS_ORIGIN)]
DataOrigin = Annotated[str | None, Parameter(help=_DATA_ORIGIN)]
AllQualities = Annotated[bool, Parameter(negative="", help=_ALL)]
_DEFAULT_RUN = Path("runs/default")


def _name_of(data: Path) -> str:
    """Make a bundle's name of a data set's."""
    name = data.resolve().name.lower()
    stem = next((name.removesuffix(suffix) for suffix in TAR_SUFFIXES if name.endswith(suffix)), name)
    return re.sub(r"[^a-z0-9.]+", "-", stem)[:64].strip("-.") or "pictures"


def _validate(_: object, value: float) -> None:
    check_amount(value)


Limit = Annotated[float, Parameter(validator=_validate)]


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
    bundle: Annotated[Path | None, Parameter(help=_NEW_BUNDLE)] = None,
    run: Annotated[Path | None, Parameter(help=_NEW_RUN)] = None,
    network: NetworkName = PAPERS,
    cut: CutName = None,
    initial_weights: InitialWeights = DOWNLOAD,
    preset: PresetOption = "small",
    changes: Changes = (),
    weights_origin: WeightsOrigin = None,
    data_origin: DataOrigin = None,
    all_qualities: AllQualities = False,
    resume: Resume = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train every stage that a bundle needs, then write the bundle: weights, hashes, evaluation, card."""
    bundle = bundle or Path("bundles", _name_of(data))
    run = run or Path("runs", bundle.name)
    check_name(bundle)
    settings = _settings(data, network, cut, initial_weights, preset, changes)
    opened = begin_run(run, choose_compute(device, precision), settings, resume=resume)
    test = opened.pictures.test
    origins = origins_of(network, initial_weights, weights_origin, data, test.classes, data_origin)
    bundle.mkdir(parents=True, exist_ok=True)
    train_stages(opened, _needed(opened), resume=resume)
    _export(opened, bundle, test, origins, all_qualities=all_qualities)


@commands.command
def begin(
    *,
    data: DataPath,
    run: RunFolder = _DEFAULT_RUN,
    network: NetworkName = PAPERS,
    cut: CutName = None,
    initial_weights: InitialWeights = DOWNLOAD,
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
        settings = _settings(data, network, cut, initial_weights, preset or "small", changes)
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
    train_stages(opened, stages or _needed(opened), resume=resume)


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
    train_stages(opened, names or tuple(opened.settings.preset.qualities), resume=resume)


@commands.command
def export(
    *,
    data: DataPath,
    bundle: BundleFolder,
    run: RunFolder = _DEFAULT_RUN,
    weights_origin: WeightsOrigin = None,
    data_origin: DataOrigin = None,
    all_qualities: AllQualities = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Write the networks of a trained run as a bundle, measured on the test pictures."""
    opened = open_run(run, choose_compute(device, precision))
    check_name(bundle)
    found = load_pictures(data, "test")
    if found.classes != opened.result(opened.pipeline.backbone).classes:
        raise TrainingError(f"{data} has other classes than the run was trained on; give --data the run's")
    weights = opened.settings.bundle or opened.settings.initial_weights
    origins = origins_of(opened.settings.network, weights, weights_origin, data, found.classes, data_origin)
    same = data.resolve() == Path(opened.settings.data)
    test = opened.pictures.test if same else check({"test": found})["test"]
    _export(opened, bundle, test, origins, all_qualities=all_qualities)


@commands.command
def evaluate(
    *,
    data: DataPath,
    bundle: Annotated[Path, Parameter(help="Folder of the model bundle.")] = default_bundle_path(),
    limit: Annotated[Limit, Parameter(help="Test pictures, or a share below 1 of each class's; 0: all.")] = 0,
    seed: Annotated[NonNegativeInt, Parameter(help="Seed of the choice.")] = 0,
    as_json: Annotated[bool, Parameter(name="--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Measure a bundle on the test pictures, through a device's graph, codec and tail."""
    found = load_pictures(data, "test")
    _check_classes(bundle, found)
    evaluation = evaluate_bundle(bundle, check({"test": _some(found, limit, seed, "--limit")})["test"])
    if as_json:
        print_result(evaluation.model_dump_json(indent=2))
    else:
        _print_scores(evaluation)


@commands.command
def paint(
    *names: Annotated[str, Parameter(help="Qualities; none: those of paper, int8, q3, q1 that there are.")],
    data: DataPath,
    bundle: Annotated[Path, Parameter(help="Folder of a bundle: paintings.json and .png are written there.")],
    run: Annotated[Path, Parameter(help="Folder that keeps the pictures' features.")] = _DEFAULT_RUN,
    pictures: Annotated[Limit, Parameter(help="Training pictures, or a share below 1; 0: all.")] = 0,
    limit: Annotated[Limit, Parameter(help="Test pictures, or a share below 1; 0: all.")] = 1000,
    epochs: Annotated[PositiveInt, Parameter(help="Of each painter's training.")] = 6,
    seed: Annotated[NonNegativeInt, Parameter(help="Of the choice of pictures, and of the training.")] = 0,
    device: Device = "auto",
    precision: PrecisionName = "auto",
) -> None:
    """Train a painter for each quality, as somebody who overhears codes would, and measure what they give away."""
    parts, _ = load_parts(data)
    manifest = _check_classes(bundle, parts["test"])
    checked = check(
        {
            "test": _some(parts["test"], limit, seed, "--limit"),
            "training": _some(parts["train"], pictures, seed, "--pictures"),
        }
    )
    chosen = Parts(training=checked["training"], held_out=checked["test"])
    found = paint_bundle(
        bundle,
        names or tuple(name for name in ("paper", "int8", "q3", "q1") if name in manifest.qualities),
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


def _some(pictures: Pictures, limit: float, seed: int, option: str) -> Pictures:
    return pictures.subset(stratified_sample(pictures.labels, limit, seed, option)) if limit else pictures


def _check_classes(bundle: Path, pictures: Pictures) -> Manifest:
    manifest = load_bundle(bundle, "device").manifest
    if pictures.classes != manifest.classes:
        raise TrainingError(f"the pictures' classes are not those of {bundle}; give --data its own data set")
    return manifest


def _settings(
    data: Path,
    network: str,
    cut: str | None,
    initial_weights: str,
    preset: PresetName,
    changes: tuple[str, ...],
) -> RunSettings:
    wanted = preparation(network)
    return RunSettings(
        preset=PRESETS[preset].changed(changes),
        network=network,
        cut=cut or (CUT if network == PAPERS else default_cut(network, wanted.size)),
        preparation=wanted,
        data=str(data.resolve()),
        initial_weights=_initial_weights(initial_weights),
    )


def _initial_weights(given: str) -> str:
    if given == DOWNLOAD:
        return given
    try:
        with safe_open(given, "numpy"):
            return str(Path(given).resolve())
    except (OSError, SafetensorError) as exc:
        raise TrainingError(
            f"initial weights {given} can't be read ({exc}); give --initial-weights a safetensors file, or {DOWNLOAD}"
        ) from exc


def origins_of(
    network: str,
    initial_weights: str,
    weights_origin: str | None,
    data: Path,
    classes: tuple[str, ...],
    data_origin: str | None,
) -> Origins:
    """Take the origins that are stated or known; say which will not be in the card."""
    if weights_origin is None and (network, initial_weights) == (PAPERS, DOWNLOAD):
        weights_origin = TORCHVISION_ORIGIN
    if data_origin is None and is_cifar10(data, classes):
        data_origin = CIFAR10_ORIGIN
    for what, origin, option in (
        ("the initial weights", weights_origin, "--weights-origin"),
        ("the pictures", data_origin, "--data-origin"),
    ):
        if origin is None:
            say(f"the card will say of {what} that their origin is not stated; {option} SENTENCE states it")
    return Origins(weights=weights_origin or NOT_STATED, data=data_origin or NOT_STATED)


def _needed(run: Run) -> tuple[str, ...]:
    return tuple(stage.name for stage in run.needed)


def train_stages(run: Run, names: tuple[str, ...], *, resume: bool) -> None:
    """Train some stages, after saying what they will take."""
    stages = [run.stage(name) for name in names]
    ahead = [stage for stage in stages if not (resume and run.has_ended(stage))]
    if not ahead:
        return
    forecasts = forecast(run, ahead)
    _announce(forecasts)
    _check_disk(run, sum(each.disk for each in forecasts))
    if run.pipeline.backbone in ahead:
        check_cut(run)
    for stage in stages:
        if resume and run.has_ended(stage):
            continue
        result = train_stage(run, stage, resume=resume and not run.is_stale(stage))
        CONSOLE.print(
            f"{stage.name}: {result.held_out_pictures} held-out pictures, accuracy {result.held_out_accuracy:.2%}; "
            f"{result.hours:.2f} hours on {result.compute}"
        )


def _check_disk(run: Run, needed: int) -> None:
    old = sum(file.stat().st_size for file in (run.folder / "cache").rglob("*.npy"))
    free = shutil.disk_usage(run.folder).free + old
    if needed > free:
        raise TrainingError(
            f"the caches in {run.folder} will need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; choose another "
            "--run, or begin it with fewer pictures (--set data.pictures=N)"
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


def _export(run: Run, bundle: Path, test: Pictures, origins: Origins, *, all_qualities: bool) -> None:
    found = shortcomings(run)
    left_out = () if all_qualities else tuple(name for name in found if name != run.pipeline.backbone.name)
    for name, sentence in found.items():
        CONSOLE.print(f"{sentence}{'; left out (--all-qualities keeps it)' if name in left_out else ''}")
    _print_scores(export_bundle(run, bundle, test, origins, left_out))
    manifest = load_bundle(bundle, "cloud").manifest
    for name, entry in manifest.files.items():
        print_result(f"{entry.sha256}  {name}")
    CONSOLE.print(f"written: {bundle}", highlight=False, soft_wrap=True)


def _print_scores(evaluation: Evaluation) -> None:
    for name, score in evaluation.scores.items():
        accuracy = score.accuracy
        print_result(
            f"{name:8} {accuracy.value:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%}) of {accuracy.n:,} pictures"
        )
