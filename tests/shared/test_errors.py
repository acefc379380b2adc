"""One table says what every error becomes outside."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import splitwire.edge.errors  # the tree is drawn whole
import splitwire.models.errors  # noqa: F401  # the tree is drawn whole
from splitwire.cloud.errors import RequestError
from splitwire.shared import errors
from splitwire.shared.command import run
from splitwire.shared.errors import CODES, LONGEST_SHOWN, SplitwireError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator


def tree(kind: type[SplitwireError], above: str = "") -> Iterator[str]:
    yield (path := f"{above}/{kind.__name__}")
    for child in kind.__subclasses__():
        yield from tree(child, path)


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    lines = re.findall(r"^ {4}([│├└─ ]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    drawn: list[str] = []
    above: list[str] = []
    for indent, name in lines:
        above[len(indent) // 4 :] = [name]
        drawn.append("/" + "/".join(above))
    assert sorted(drawn) == sorted(path for path in tree(SplitwireError))


def test_every_row_of_the_table_names_an_error() -> None:
    assert set(CODES) <= {path.rpartition("/")[2] for path in tree(SplitwireError)}


@pytest.mark.parametrize("kind", RequestError.__subclasses__())
def test_every_refused_request_has_a_status_of_its_own_in_the_table(kind: type[RequestError]) -> None:
    assert 400 <= CODES[kind.__name__].status < 600


def test_an_error_without_an_entry_takes_its_nearest_ancestors() -> None:
    assert errors.codes_of(errors.FrameTruncated(7, 0)) == CODES["FrameError"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("plain, Grüße, 猫 \\n", "plain, Grüße, 猫 \\n"),
        ("\x1b[2J\r\n\x9b", "\\x1b[2J\\r\\n\\x9b"),
        ("gnp\u202e.exe\u2028", "gnp\\u202e.exe\\u2028"),
        (Path(os.fsdecode(b"ca\xfft")), "ca\\xfft"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_words_are_shown_in_one_line_with_what_can_not_be_seen_made_visible(
    words: str | Path, expected: str
) -> None:
    assert shown(words) == expected
    assert shown(expected) == expected
    assert str(SplitwireError(str(words))) == expected


@pytest.mark.parametrize("words", ["x" * 1000, "\x1b" * 1000, "\U000e0001" * 90, "x" * 299 + "\x1b"])
def test_no_more_of_somebodys_words_is_shown_than_wanted(words: str) -> None:
    assert len(shown(words, LONGEST_SHOWN)) == LONGEST_SHOWN
    assert shown(words, LONGEST_SHOWN).endswith("...")
    assert shown("x" * LONGEST_SHOWN, LONGEST_SHOWN) == "x" * LONGEST_SHOWN


def test_a_failure_nobody_foresaw_is_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("\x1b[2J\n" + "x" * 1000)

    with pytest.raises(SystemExit):
        run(fail)
    line = capsys.readouterr().err
    assert "failure: ValueError: \\x1b[2J\\nxx" in line
    assert len(line) < 500
