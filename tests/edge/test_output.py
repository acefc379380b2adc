"""What a person who watches sees, and what a pipe gets."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from splitwire.edge.commands.output import Output
from splitwire.edge.results import Answered

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURES = 9


def answered(path: str) -> Answered:
    return Answered(path=path, label="cat", class_id=3, probability=0.5, source="cloud")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[[io.StringIO, io.StringIO], None]:
    def show(out: io.StringIO, err: io.StringIO) -> None:
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        monkeypatch.setenv("TERM", "xterm")
        with Output(as_json=True, total=PICTURES) as output:
            for number in range(PICTURES):
                output.result(answered(f"[{number}]"))

    return show


def test_a_bar_stands_on_standard_error_while_lines_go_elsewhere(
    show: Callable[[io.StringIO, io.StringIO], None],
) -> None:
    out, err = io.StringIO(), Terminal()
    show(out, err)
    assert [json.loads(line)["path"] for line in out.getvalue().splitlines()] == [
        f"[{number}]" for number in range(PICTURES)
    ]
    assert f"{PICTURES}/{PICTURES}" in err.getvalue()


def test_a_bar_stands_under_the_lines_where_both_are_the_terminal(
    show: Callable[[io.StringIO, io.StringIO], None],
) -> None:
    out, err = Terminal(), Terminal()
    show(out, err)
    assert all(f'"path":"[{number}]"' in out.getvalue() for number in range(PICTURES))
    assert f"{PICTURES}/{PICTURES}" in out.getvalue()


def test_nobody_watches_no_bar(show: Callable[[io.StringIO, io.StringIO], None]) -> None:
    out, err = io.StringIO(), io.StringIO()
    show(out, err)
    assert len(out.getvalue().splitlines()) == PICTURES
    assert not err.getvalue()
