"""``python -m splitwire.models.training`` says what is wrong in one line, before hours are spent."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from splitwire.models.device import choose_compute
from splitwire.models.errors import TrainingError
from splitwire.models.networks import build
from splitwire.models.training import commands
from splitwire.models.training.commands import app
from splitwire.models.training.export import NOT_STATED, TORCHVISION_ORIGIN, Origins
from splitwire.models.training.forecast import Forecast
from splitwire.models.training.pipeline import PRESETS
from splitwire.models.training.run import RunSettings, begin_run, train_stage
from splitwire.shared.bundle import NetworkSpec, load_bundle
from splitwire.shared.command import run
from tests.models.conftest import TINY

if TYPE_CHECKING:
    from splitwire.models.training.run import Run
    from splitwire.models.training.stages.stage import AnyStage, StageResult

SETTINGS = (
    f"""{{"preset": {PRESETS["small"].model_dump_json()}, "data": "d", "initial_weights": "w.safetensors"}}"""
)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["release", "--data", "/nowhere", "--bundle", "b"], 8, "no data at /nowhere"),
        (
            ["release", "--data", "DATA", "--bundle", "b", "--initial-weights", "/nowhere"],
            8,
            "give --initial-weights a safetensors file",
        ),
        (["release", "--data", "DATA", "--bundle", "My bundle"], 2, "lower-case"),
        (["release", "--data", "DATA", "--bundle", "b", "--device", "cuda:99"], 2, "can't be used here"),
        (["begin", "--data", "DATA", "--set", "backbone.hidden=wide"], 2, "setting backbone.hidden"),
        (["begin", "--data", "DATA", "--set", "wide"], 2, "STAGE.NAME=VALUE"),
        (["begin", "--data", "DATA", "--from", "b", "--preset", "full"], 2, "leave out --preset"),
        (["evaluate", "--data", "DATA", "--limit", "-1"], 2, "--limit"),
        (["relase"], 2, 'Did you mean "release"?'),
        (["train"], 8, "holds no run"),
        (["train", "decoder", "--run", "RUN"], 2, "there is no stage decoder"),
        (["export", "--data", "DATA", "--bundle", "b"], 8, "holds no run"),
        (["evaluate", "--data", "DATA", "--bundle", "/nowhere"], 4, "no manifest.json there"),
    ],
)
def test_what_can_not_start_is_one_line_and_its_exit_code(
    tmp_path: Path,
    colours: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text(SETTINGS)
    given = [{"DATA": str(colours), "RUN": "run"}.get(argument, argument) for argument in arguments]
    with pytest.raises(SystemExit) as exited:
        run(lambda: app(given))
    assert exited.value.code == code
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert app([]) == 2
    assert "release" in capsys.readouterr().out


def said_in_errors() -> str:
    """Every text of an error that training raises."""
    said = []
    for file in Path(commands.__file__).parent.rglob("*.py"):
        for raised in ast.walk(ast.parse(file.read_text())):
            if isinstance(raised, ast.Raise):
                said += [node.value for node in ast.walk(raised) if isinstance(node, ast.Constant)]
    return "\n".join(text for text in said if isinstance(text, str))


def test_errors_name_only_options_and_settings_that_exist() -> None:
    group = commands.commands
    named_commands = [group[name] for name in group if not name.startswith("-")]
    options = {
        name
        for command in named_commands
        for option in command.assemble_argument_collection()
        for name in option.names
    }
    said = said_in_errors()
    named = set(re.findall(r"--[a-z][a-z-]*", said))
    assert {"--run", "--set", "--resume", "--data"} <= named <= options
    settings = re.findall(r"--set ([a-z0-9]+\.[a-z_]+)=", said)
    assert settings
    for setting in settings:
        PRESETS["shipped"].changed([f"{setting}=1"])


def test_a_release_wants_the_same_classes_to_test_as_to_train(
    tmp_path: Path, colours: Path, initial_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(colours, data)
    (data / "test" / "red").rename(data / "test" / "pink")
    places = ["--data", data, "--run", tmp_path / "run", "--bundle", tmp_path / "b"]
    command = [
        "release",
        *map(str, places),
        "--initial-weights",
        str(initial_weights),
        "--weights-origin",
        "w",
    ]
    with pytest.raises(SystemExit) as exited:
        run(lambda: app([*command, "--set", "data.pictures=9", "--set", "data.held_out=3"]))
    assert exited.value.code == 8
    assert "only train/ has red; only test/ has pink" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_network_that_no_device_can_run_is_refused_before_any_training(
    tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    save_file(build(NetworkSpec(name="test_nfnet", cut="none"), 1000).state_dict(), weights)
    places = [
        "--data",
        colours,
        "--run",
        tmp_path / "run",
        "--bundle",
        tmp_path / "b",
        "--initial-weights",
        weights,
    ]
    with pytest.raises(SystemExit) as exited:
        run(lambda: app(["release", *map(str, places), "--network", "test_nfnet", "--weights-origin", "w"]))
    assert exited.value.code == 8
    assert re.search(r"ncnn can't run \w+ .*cut the network before it", capsys.readouterr().err)
    assert not (tmp_path / "run" / "backbone").exists()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("My Flowers", "my-flowers"),
        ("cifar10-images.tar.gz", "cifar10-images"),
        ("花", "pictures"),
        ("_a.b_", "a.b"),
    ],
)
def test_a_release_is_called_as_its_data(
    data: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []

    def begun(run: Path, *_: object, **__: object) -> None:
        places.append(run)
        raise TrainingError("far enough")

    monkeypatch.setattr(commands, "begin_run", begun)
    with pytest.raises(TrainingError, match="far enough"):
        app(["release", "--data", str(tmp_path / data)])
    assert places == [Path("runs", name)]


def test_origins_that_nobody_states_are_said_to_be_unstated(
    colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = ("blue", "green", "red")
    origins = commands.origins_of("vgg16", "weights.safetensors", None, colours, classes, None)
    assert origins == Origins(weights=NOT_STATED, data=NOT_STATED)
    said = capsys.readouterr().err
    assert "--weights-origin SENTENCE" in said
    assert "--data-origin SENTENCE" in said
    stated = commands.origins_of("vgg16", "download", None, colours, classes, "Made for a test.")
    assert stated == Origins(weights=TORCHVISION_ORIGIN, data="Made for a test.")
    assert capsys.readouterr().err == ""


def test_a_training_for_which_there_is_no_room_does_not_begin(
    tmp_path: Path, colours: Path, initial_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RunSettings(preset=PRESETS["small"], data=str(colours), initial_weights=str(initial_weights))
    begun = begin_run(tmp_path, choose_compute("cpu"), settings, resume=False)
    ahead = Forecast(stage="backbone", steps=1, seconds=1.0, disk=1 << 60, memory=0)
    monkeypatch.setattr(commands, "forecast", lambda *_: [ahead])
    with pytest.raises(TrainingError, match=r"will need .* GB.*--run"):
        commands.train_stages(begun, ("backbone",), resume=False)
    assert not (tmp_path / "backbone").exists()


def test_a_release_is_one_command_that_can_be_stopped_and_resumed(
    tmp_path: Path,
    colours: Path,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = (
        "data.pictures=0",
        "data.variants=1",
        "data.held_out=12",
        "teacher.epochs=1",
        "teacher.widths=8,8,8",
        "finetune.frozen=cut",
        "finetune.epochs=1",
        "finetune.batch=8",
        "sae.epochs=1",
        *(f"{stage}.least_steps=10" for stage in ("backbone", "fallback", "cae", "q1", "q2", "q3")),
        *(f"q{n}.{setting}" for n in range(1, 4) for setting in ("epochs=1", "numbers=4", "hidden=8")),
    )
    data, folder = ["--data", str(colours)], ["--run", str(tmp_path / "run")]
    written = [
        *("--bundle", str(tmp_path / "colours"), "--weights-origin", "Made for a test."),
        *("--all-qualities", "--precision", "float32"),
    ]
    network = ["--network", TINY, "--cut", "layer4.0", "--initial-weights", str(tiny_weights)]
    changing = [part for change in changes for part in ("--set", change)]
    command = ["release", *data, *folder, *written, *network, *changing, "--resume"]

    def stopping(run: Run, stage: AnyStage, *, resume: bool) -> StageResult:
        if stage.name == "cae":
            raise KeyboardInterrupt
        return train_stage(run, stage, resume=resume)

    monkeypatch.setattr(commands, "train_stage", stopping)
    with pytest.raises(SystemExit) as exited:
        run(lambda: app(command))
    assert exited.value.code == 130
    assert list((tmp_path / "colours").iterdir()) == []
    monkeypatch.setattr(commands, "train_stage", train_stage)
    capsys.readouterr()
    run(lambda: app(command))

    printed = capsys.readouterr()
    assert "finetune: " not in printed.err, "it had ended before the interruption"
    assert "sae: " not in printed.err, "it is no part of a bundle"
    manifest = load_bundle(tmp_path / "colours", "device").manifest
    for name, entry in manifest.files.items():
        assert f"{entry.sha256}  {name}" in printed.out
    run(lambda: app(["train", "sae", *folder, "--precision", "float32"]))
    run(lambda: app(["export", *data, *folder, *written]))
    comparison = json.loads((tmp_path / "colours" / "sae.json").read_text())
    assert comparison["code_elements"] == 24 * 3 * 3
    assert comparison["sae"]["parameters"] == 2 * 2400 * 216 + 2400 + 216 == 1_039_416
    assert comparison["sae"]["parameters"] > 40 * comparison["cae"]["parameters"]
    assert comparison["sae"]["settings"]["epochs"] == 1
    card = (tmp_path / "colours" / "README.md").read_text()
    for said in ("Made for a test.", "| teacher | backbone | finetune | fallback | cae |", "1,039,416"):
        assert said in card
    assert str(tmp_path) not in card
