"""``python -m models.training`` says what is wrong in one line, before hours are spent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from models.training.commands import app
from models.training.settings import PRESETS
from shared.command import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["backbone", "--data", "/nowhere"], 8, "no data at /nowhere"),
        (
            ["backbone", "--data", "DATA", "--pictures", "0", "--initial-weights", "/nowhere"],
            8,
            "no initial weights at /nowhere",
        ),
        (["backbone", "--data", "DATA", "--device", "cuda:99"], 8, "can't be used here"),
        (["backbone", "--data", "DATA", "--pictures", "7"], 8, "can't take 7 pictures evenly"),
        (["backbone", "--data", "DATA", "--hidden", "wide"], 2, "setting backbone.hidden.0"),
        (["autoencoder"], 8, "holds no run"),
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
    given = [str(colours) if argument == "DATA" else argument for argument in arguments]
    monkeypatch.setattr(
        sys, "argv", ["training", *given, *(["--held-out", "6"] if "backbone" in given else [])]
    )
    with pytest.raises(SystemExit) as exited:
        run(app)
    assert exited.value.code == code
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_weights_from_a_file_need_their_origin_for_the_card(
    tmp_path: Path, colours: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = '{"preset": %s, "data": "d", "initial_weights": "w.safetensors"}'
    (tmp_path / "settings.json").write_text(settings % PRESETS["cached"].model_dump_json())
    command = [
        "training",
        "export",
        "--data",
        str(colours),
        "--run",
        str(tmp_path),
        "--bundle",
        str(tmp_path / "b"),
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as exited:
        run(app)
    assert exited.value.code == 2
    assert "--weights-origin" in capsys.readouterr().err
