"""What a run's folder keeps, and what it forgets. Nothing is trained here: results are written as training would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from splitwire.models.device import choose_compute
from splitwire.models.errors import TrainingError
from splitwire.models.training import commands
from splitwire.models.training.commands import app
from splitwire.models.training.data.pictures import load_pictures
from splitwire.models.training.export import Origins, export_bundle, model_card
from splitwire.models.training.pipeline import PRESETS
from splitwire.models.training.provenance import run_of_bundle
from splitwire.models.training.run import Run, RunSettings, begin_run, open_run
from splitwire.models.training.stages.stage import AnyStage, StageResult
from splitwire.models.training.yardstick import shortcomings
from splitwire.shared.bundle import NetworkSpec, load_bundle, load_manifest
from splitwire.shared.command import run as run_command
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import load_evaluation, share
from splitwire.shared.pictures.loading import Preparation

if TYPE_CHECKING:
    from pathlib import Path

COMPUTE = choose_compute("cpu", "float32")
SMALL = ("teacher.widths=8,8,8", "backbone.hidden=8", "fallback.hidden=8")
PRESET = PRESETS["full"].changed(SMALL)
SETTINGS = RunSettings(preset=PRESET, data="d", initial_weights="w.safetensors")


def end(run: Run, name: str, accuracy: float = 0.5) -> None:
    """End a stage with random weights."""
    stage = run.stage(name)
    result = StageResult(
        data=run.settings.preset.data,
        classes=("blue", "green", "red"),
        training_pictures=36,
        held_out_pictures=12,
        held_out_loss=1.0,
        held_out_accuracy=accuracy,
        settings=stage.settings.model_dump(mode="json"),
        hours=1.0,
        compute="cpu",
        data_sha256="",
    )
    torch.seed()
    run.end(stage, stage.build(3), result)


def ended(run: Run) -> list[str]:
    return [stage.name for stage in run.pipeline.stages if run.has_ended(stage)]


def begun_again(run: Run, *changes: str, **settings: str) -> Run:
    update = {"preset": run.settings.preset.changed(changes), **settings}
    return begin_run(run.folder, COMPUTE, run.settings.model_copy(update=update), resume=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = begin_run(tmp_path / "run", COMPUTE, SETTINGS, resume=False)
    for name in ("teacher", "fallback"):
        end(run, name)
    return run


def test_a_stage_has_not_ended_with_other_settings_than_its_own(tmp_path: Path) -> None:
    run = begin_run(tmp_path, COMPUTE, SETTINGS, resume=False)
    end(run, "teacher")
    assert ended(begun_again(run, "fallback.hidden=16")) == ["teacher"]
    changed = begun_again(run, "teacher.epochs=3")
    assert ended(changed) == []
    assert changed.is_stale(changed.stage("teacher"))
    with pytest.raises(TrainingError, match="stage teacher has not ended"):
        changed.trained(changed.stage("teacher"))
    assert ended(begun_again(run)) == ["teacher"], "the settings are what they were"


@pytest.mark.parametrize(
    "change", [{"data": "other"}, {"initial_weights": "other"}, {"bundle": "other"}, ["data.seed=1"]]
)
def test_a_run_begun_again_on_other_pictures_or_weights_forgets_everything(
    run: Run, change: dict[str, str] | list[str]
) -> None:
    again = begun_again(run, *change) if isinstance(change, list) else begun_again(run, **change)
    assert list(run.folder.glob("*/result.json")) == []
    assert open_run(run.folder, COMPUTE).settings == again.settings


def test_other_variants_are_only_seen_by_the_stages_after_the_convolutions(run: Run) -> None:
    again = begun_again(run, "data.variants=3")
    assert ended(again) == ["teacher"]
    assert not again.is_stale(again.stage("fallback"))


def test_what_stands_on_a_stage_that_is_trained_anew_has_not_ended(tmp_path: Path) -> None:
    preset = PRESET.changed(["backbone.soft_labels=0"])
    settings = SETTINGS.model_copy(update={"preset": preset})
    run = begin_run(tmp_path, COMPUTE, settings, resume=False)
    for name in ("backbone", "fallback"):
        end(run, name)
    assert ended(run) == ["backbone", "fallback"]
    run.forget(run.stage("backbone"))
    assert list((tmp_path / "backbone").iterdir()) == []
    assert run.is_stale(run.stage("fallback"))


def test_a_stopped_retraining_is_resumed_with_all_that_stands_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run(
        tmp_path,
        COMPUTE,
        SETTINGS.model_copy(update={"preset": PRESET.changed(["backbone.soft_labels=0"])}),
        resume=False,
    )
    names = ("teacher", "backbone", "fallback")
    for name in names:
        end(run, name)
    run.forget(run.stage("backbone"))
    trained = []

    def train_stage(run: Run, stage: AnyStage, *, resume: bool) -> StageResult:
        trained.append((stage.name, resume))
        end(run, stage.name)
        return run.result(stage)

    monkeypatch.setattr(commands, "train_stage", train_stage)
    monkeypatch.setattr(commands, "forecast", lambda *_: [])
    monkeypatch.setattr(commands, "_announce", lambda _: None)
    monkeypatch.setattr(commands, "check_cut", lambda _: None)
    app(["train", *names, "--run", str(tmp_path), "--resume", "--device", "cpu"])
    assert trained == [("backbone", True), ("fallback", False)]
    assert ended(run) == list(names)


def test_a_stage_that_does_not_fit_the_others_is_not_left_out_of_a_bundle(
    run: Run, colours: Path, tmp_path: Path
) -> None:
    assert run.is_stale(begun_again(run, "fallback.epochs=1").stage("fallback"))
    again = open_run(run.folder, COMPUTE)
    with pytest.raises(TrainingError, match="train fallback anew"):
        export_bundle(
            again, tmp_path / "bundle", load_pictures(colours, "test"), Origins(weights="w", data="d")
        )


@pytest.mark.parametrize("damage", [b"", b"{}"])
def test_a_damaged_result_is_none(run: Run, damage: bytes) -> None:
    (run.folder / "teacher" / "result.json").write_bytes(damage)
    assert "teacher" not in ended(run)


def test_damaged_weights_are_named(run: Run) -> None:
    file = run.folder / "teacher" / "networks.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(TrainingError, match="train teacher anew"):
        run.trained(run.stage("teacher"))


def test_a_run_of_a_bundle_has_what_the_bundle_has_and_nothing_older(
    tmp_path: Path, bundle_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = run_of_bundle(tmp_path, bundle_path, colours, "w", COMPUTE, [])
    assert ended(begun) == [stage.name for stage in begun.pipeline.stages]
    end(begun, "teacher")
    again = run_of_bundle(tmp_path, bundle_path, colours, "w", COMPUTE, ["q1.numbers=8"])
    assert not (tmp_path / "teacher" / "networks.safetensors").exists()
    assert ended(again) == [stage.name for stage in begun.pipeline.stages if stage.name != "q1"]

    data = str(colours)
    with pytest.raises(SystemExit) as exited:
        run_command(
            lambda: app(["export", "--data", data, "--run", str(tmp_path), "--bundle", str(tmp_path / "b")])
        )
    assert exited.value.code == 8
    assert "other classes than the run was trained on" in capsys.readouterr().err


def test_soft_labels_want_changed_pictures() -> None:
    with pytest.raises(SettingsError, match=r"setting backbone: .*set mirrored, shift or crop"):
        PRESETS["small"].changed(["backbone.soft_labels=0.5"])


def test_the_card_tells_every_setting_of_every_stage(
    tmp_path: Path, bundle_path: Path, colours: Path
) -> None:
    run = run_of_bundle(tmp_path, bundle_path, colours, "w", COMPUTE, [])
    bundle, evaluation = load_bundle(bundle_path, "device"), load_evaluation(bundle_path)
    assert evaluation
    card = model_card(run, bundle.manifest, evaluation, None, 32, Origins(weights="w", data="d"))
    head = "|  | teacher | backbone | finetune | fallback | cae | q1 | q2 | q3 |"
    assert head in card
    rows = dict(line[2:-2].split(" | ", 1) for line in card.split(head)[1].splitlines() if line[:2] == "| ")
    assert rows["numbers"].split(" | ")[-3:] == ["16", "24", "48"]
    settings = {name.replace("_", " ") for stage in run.needed for name in stage.settings.model_dump()}
    assert settings <= rows.keys()
    assert f"- `q1`, `q2`, `q3`: {run.stage('q1').what}" in card
    assert "Beside table 1 of the paper" in card
    assert "All of them have 32 x 32 pixels: what takes more to tell apart, it can't." in card


def test_the_card_says_only_what_holds_for_its_bundle(
    tmp_path: Path, bundle_path: Path, colours: Path
) -> None:
    run = run_of_bundle(tmp_path, bundle_path, colours, "w", COMPUTE, [])
    manifest, evaluation = load_manifest(bundle_path), load_evaluation(bundle_path)
    assert evaluation
    classes = tuple(f"class {number}" for number in range(30))
    shares = {name: share(number, 40) for number, name in enumerate(classes)}
    scores = {
        name: score.model_copy(update={"by_class": shares})
        for name, score in evaluation.scores.items()
        if name != "device"
    }
    changes = {
        "network": NetworkSpec(name="test_resnet", cut="layer1"),
        "classes": classes,
        "fallback": False,
        "preparation": Preparation(size=64, crop=0.875, interpolation="bicubic"),
    }
    card = model_card(
        run,
        manifest.model_copy(update=changes),
        evaluation.model_copy(update={"scores": scores}),
        None,
        None,
        Origins(weights="w", data="d"),
    )
    for absent in (
        "VGG16",
        "CIFAR",
        "table 1",
        "All of them have",
        "own small classifier",
        "class 10 (n = 40)",
    ):
        assert absent not in card.split("## Recipe")[0] + card.split("## Files")[1]
    assert "`test_resnet`, cut at `layer1`" in card
    assert "class 9 (n = 40)" in card
    assert "Of the classes, those that `base` knows least." in card
    assert (
        "the middle 87.5 % (of each side) of a picture's centre square, brought to 64 pixels a side, bicubic."
        in card
    )


@pytest.mark.parametrize(
    ("accuracies", "worse"),
    [
        ({}, []),
        ({"q1": 0.1, "q2": 0.1}, ["q1", "q2"]),
        ({"backbone": 0.1, "cae": 0.1}, ["backbone", "cae"]),
        ({"q1": 0.9, "q2": 0.5, "q3": 0.9}, ["q2"]),
        ({"q1": 0.9, "q2": 0.85}, []),
    ],
)
def test_what_answers_worse_than_something_simpler_is_found(
    tmp_path: Path, accuracies: dict[str, float], worse: list[str]
) -> None:
    run = begin_run(tmp_path, COMPUTE, SETTINGS, resume=False)
    for stage in run.needed:
        end(run, stage.name, accuracies.get(stage.name, 0.9 if stage.name == "q3" else 0.5))
    found = shortcomings(run)
    assert list(found) == worse
    assert all(f"--set {name}.least_steps" in sentence for name, sentence in found.items())
