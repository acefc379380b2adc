"""Settings by flag, by variable, by file, in that order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from splitwire.edge.commands import cli, config
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "device.toml"
    file.write_text('quality = "paper"\ntop = 2\n')
    return file


def quality_and_top(cat: Path, *before: object, after: tuple[object, ...] = ()) -> tuple[str, int]:
    arguments = [*before, "classify", cat, "--json", *after]
    result = CliRunner().invoke(cli.app, [str(each) for each in arguments], catch_exceptions=False)
    record = json.loads(result.stdout)
    return record["quality"], len(record["top"])


def test_a_file_is_under_a_variable_and_that_under_a_flag(
    cat: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quality_and_top(cat, "--config", file) == ("paper", 2)
    monkeypatch.setenv("SPLITWIRE_QUALITY", "int8")
    assert quality_and_top(cat, "--config", file) == ("int8", 2)
    assert quality_and_top(cat, "--config", file, after=("--quality", "paper", "--top", 1)) == ("paper", 1)


def test_the_users_own_file_is_found(cat: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "default_config", lambda: file)
    assert quality_and_top(cat) == ("paper", 2)


def test_options_have_the_names_that_they_are_written_with(file: Path, cat: Path) -> None:
    file.write_text('json = true\nid = "other"\nonce = true\nlow-memory = false\n')
    result = CliRunner().invoke(
        cli.app, ["--config", str(file), "classify", str(cat)], catch_exceptions=False
    )
    assert json.loads(result.stdout)["label"] == "cat"


def test_every_option_has_a_variable_named_like_it() -> None:
    commands = get_command(cli.app).commands  # type: ignore[attr-defined]  # of a group
    named: set[str] = set()
    for command in commands.values():
        for option in command.params:
            if option.param_type_name == "option" and option.name != "help":
                written = option.opts[0].removeprefix("--").replace("-", "_")
                named.add(written)
                assert option.envvar == f"SPLITWIRE_{written.upper()}"
    assert {"json", "id", "once", "quality"} <= named


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"quality: paper", "no TOML"), (b"qualty = 'paper'", "no option qualty"), (b"\xff", "no TOML")],
)
def test_a_file_that_is_none_is_one_clear_error(cat: Path, file: Path, text: bytes, message: str) -> None:
    file.write_bytes(text)
    with pytest.raises(SettingsError, match=message):
        quality_and_top(cat, "--config", file)
    with pytest.raises(SettingsError, match="can't be read"):
        quality_and_top(cat, "--config", file.with_name("absent.toml"))
    with pytest.raises(SettingsError, match="not a regular file"):
        quality_and_top(cat, "--config", "/dev/zero")
