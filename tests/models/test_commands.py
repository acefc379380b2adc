"""``python -m splitwire.models.training`` says what is wrong in one line, before hours are spent."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from splitwire.models.training import commands
from splitwire.models.training.commands import app
from splitwire.models.training.pipeline import PRESETS
from splitwire.models.training.run import train_stage
from splitwire.shared.bundle import load_bundle
from splitwire.shared.command import run

if TYPE_CHECKING:
    from splitwire.models.training.run import Run
    from splitwire.models.training.stages.stage import AnyStage, StageResult

SETTINGS = f"""{{"preset": {PRESETS["cached"].model_dump_json()}, "data": "d", "initial_weights": "w.safetensors"}}"""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["release", "--data", "/nowhere", "--bundle", "b"], 8, "no data at /nowhere"),
        (
            ["release", "--data", "DATA", "--bundle", "b", "--initial-weights", "/nowhere"],
            2,
            "--weights-origin",
        ),
        (["release", "--data", "DATA", "--bundle", "My bundle"], 2, "lower-case"),
        (["release", "--data", "DATA", "--bundle", "b", "--device", "cuda:99"], 2, "can't be used here"),
        (["begin", "--data", "DATA", "--set", "backbone.hidden=wide"], 2, "setting backbone.hidden"),
        (["begin", "--data", "DATA", "--set", "wide"], 2, "STAGE.NAME=VALUE"),
        (["begin", "--data", "DATA", "--from", "b", "--preset", "full"], 2, "leave out --preset"),
        (["release", "--data", "DATA"], 2, "--bundle"),
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
    assert "other classes under test/" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_weights_from_a_file_need_their_origin_for_the_card(
    tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.json").write_text(SETTINGS)
    command = [
        "export",
        "--data",
        str(colours),
        "--run",
        str(tmp_path),
        "--bundle",
        str(tmp_path / "b"),
    ]
    with pytest.raises(SystemExit) as exited:
        run(lambda: app(command))
    assert exited.value.code == 2
    assert "--weights-origin" in capsys.readouterr().err


@pytest.mark.slow
def test_a_release_is_one_command_that_can_be_stopped_and_resumed(
    tmp_path: Path,
    colours: Path,
    initial_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = (
        "data.pictures=0",
        "data.held_out=12",
        "teacher.epochs=1",
        "teacher.widths=8,8,8",
        "backbone.frozen_blocks=5",
        "backbone.hidden=8,8",
        "finetune.frozen_blocks=5",
        "finetune.epochs=1",
        "cae.epochs=1",
        "sae.epochs=1",
        "finetune.batch=8",
        *(f"q{n}.{setting}" for n in range(1, 4) for setting in ("epochs=1", "numbers=4", "hidden=8")),
    )
    command = [
        *("release", "--precision", "float32", "--data", str(colours)),
        *("--run", str(tmp_path / "run"), "--bundle", str(tmp_path / "colours"), "--resume"),
        *("--initial-weights", str(initial_weights), "--weights-origin", "Made for a test."),
        *(part for change in changes for part in ("--set", change)),
    ]

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
    assert "sae: 12 held-out pictures" in printed.err
    manifest = load_bundle(tmp_path / "colours", "device").manifest
    for name, digest in manifest.sha256.items():
        assert f"{digest}  {name}" in printed.out
    comparison = json.loads((tmp_path / "colours" / "sae.json").read_text())
    assert comparison["code_elements"] == 3200
    assert comparison["sae"]["parameters"] == 160_591_488
    assert comparison["cae"]["parameters"] == 624_000
    assert comparison["sae"]["settings"]["epochs"] == 1
    card = (tmp_path / "colours" / "README.md").read_text()
    for said in ("Made for a test.", "| teacher | backbone | finetune | fallback | cae |", "160,591,488"):
        assert said in card
    assert str(tmp_path) not in card
