"""Settings by flag, by variable, by file, in that order."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
from cyclopts import MissingArgumentError

from splitwire.edge.commands import cli
from splitwire.edge.settings import WatchSettings
from splitwire.shared.command import run
from splitwire.shared.errors import SettingsError
from tests.edge.command import edge_client

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "device.toml"
    file.write_text('quality = "paper"\ntop = 2\n')
    return file


def quality_and_top(cat: Path, *before: object, after: tuple[object, ...] = ()) -> tuple[str, int]:
    result = edge_client(*before, "classify", cat, "--json", *after)
    record = json.loads(result.stdout)
    return record["quality"], len(record["top"])


def test_a_file_is_under_a_variable_and_that_under_a_flag(
    cat: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quality_and_top(cat, "--config", file) == ("paper", 2)
    monkeypatch.setenv("SPLITWIRE_CONFIG", str(file))
    assert quality_and_top(cat) == ("paper", 2)
    monkeypatch.setenv("SPLITWIRE_QUALITY", "int8")
    assert quality_and_top(cat, "--config", file) == ("int8", 2)
    assert quality_and_top(cat, "--config", file, after=("--quality", "paper", "--top", 1)) == ("paper", 1)


def test_the_users_own_file_is_found(cat: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = file.with_name("splitwire") / "device.toml"
    place.parent.mkdir()
    file.rename(place)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.parents[1]))
    assert quality_and_top(cat) == ("paper", 2)


def test_options_have_the_names_that_they_are_written_with(file: Path, cat: Path) -> None:
    file.write_text('json = true\nid = "other"\nonce = true\nlow-memory = false\n')
    result = edge_client("--config", file, "classify", cat)
    assert json.loads(result.stdout)["label"] == "cat"


def test_every_option_has_a_variable_named_like_it() -> None:
    for command in ("classify", "watch", "info", "bench", "pull"):
        shown = edge_client(command, "--help").stdout
        words = " ".join(shown.replace("│", " ").split())
        options = set(re.findall(r"^│ \*? *--([a-z-]+)", shown, re.MULTILINE))
        assert len(options) > 1
        for option in options:
            assert f"[env var: SPLITWIRE_{option.replace('-', '_').upper()}]" in words, option


@pytest.mark.parametrize(
    ("command", "variable"), [("classify", "PATHS"), ("watch", "FOLDER"), ("pull", "PLACE")]
)
def test_what_a_command_is_about_comes_from_no_variable(
    command: str, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWIRE_CLOUD", "http://127.0.0.1:9")
    monkeypatch.setenv(f"SPLITWIRE_{variable}", str(tmp_path))
    with pytest.raises(MissingArgumentError, match=variable):
        edge_client(command)


def test_an_empty_variable_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPLITWIRE_CLOUD", "")
    run(lambda: cli.app(["info", "--json"]))
    assert json.loads(capsys.readouterr().out)["cloud"] is None


def test_the_old_spelling_of_the_outbox_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[WatchSettings] = []

    async def watched(_: Path, settings: WatchSettings, *__: object) -> None:
        told.append(settings)

    monkeypatch.setattr(cli, "watch_folder", watched)
    edge_client("watch", tmp_path, "--outbox", "a")
    edge_client("watch", tmp_path, "--record", "a")
    monkeypatch.setenv("SPLITWIRE_RECORD", "a")
    edge_client("watch", tmp_path)
    config = tmp_path / "device.toml"
    config.write_text('record = "a"')
    monkeypatch.delenv("SPLITWIRE_RECORD")
    edge_client("--config", config, "watch", tmp_path)
    assert [str(settings.outbox) for settings in told] == ["a"] * 4


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
