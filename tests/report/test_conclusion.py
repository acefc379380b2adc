"""What the first screen says follows from the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from splitwire.report.page import words
from splitwire.report.page.conclusion import conclude
from splitwire.report.results import Way

if TYPE_CHECKING:
    from splitwire.report.results import Finding, Report


def way(name: str, device_ms: float, sent: float) -> Way:
    return Way(name=name, device_ms=device_ms, beyond_ms=0, sent=sent, received=0)


def concluded(report: Report, quality: str, split: Way, sent: Way) -> tuple[Finding, Finding, Finding]:
    chosen = report.chosen.model_copy(update={"quality": quality})
    scores = report.model_copy(update={"chosen": chosen})
    return conclude(scores, report.costs, split, sent, way("alone", 98.1, 0))


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


SPLIT, SENT = way("split", 20, 100), way("sent", 10, 1100)


def test_fewer_bytes_are_a_gain(drawn_report: Report) -> None:
    found = concluded(drawn_report, "q2", SPLIT, SENT)[0]
    assert found.number == f"{drawn_report.qualities['q2'].body.mean:.1f}"
    assert found.sentence.startswith("Gained: split in quality q2")
    assert "times as many" in found.sentence
    picture = next(each for each in drawn_report.pictures if each.name == drawn_report.chosen.picture)
    assert f"on {picture.scored.accuracy.n:,} pictures" in found.sentence
    assert f"Without its fixed header that file has {words.count(picture.bare_bytes or 0)}." in found.sentence


def test_more_bytes_are_said_to_be_none(drawn_report: Report) -> None:
    found = concluded(drawn_report, "int8", SPLIT, SENT)[0]
    assert (found.number, found.sentence[:27]) == ("3,206", "Nothing is gained in bytes:")
    assert "times fewer" in found.sentence


def test_the_loss_is_the_difference_on_the_same_pictures(drawn_report: Report) -> None:
    found = concluded(drawn_report, "q2", SPLIT, SENT)[1]
    change = drawn_report.qualities["q2"].scored.change.value
    assert change < 0
    assert plain(found.number) == f"{100 * change:+.1f}"
    assert f"Lost are {-100 * change:.1f} points" in plain(found.sentence)


@pytest.mark.parametrize(
    ("split", "sent", "number", "words"),
    [
        (SPLIT, SENT, "800 kbit/s", "on links faster than 800 kbit/s"),
        (way("split", 10, 1100), way("sent", 20, 100), "800 kbit/s", "on links slower than 800 kbit/s"),
        (way("split", 5, 100), SENT, "no link", "it is answered later on every link"),
        (way("split", 50, 2000), SENT, "every link", "it is answered sooner on every link"),
    ],
)
def test_the_picture_is_recommended_where_it_is_answered_sooner(
    drawn_report: Report, split: Way, sent: Way, number: str, words: str
) -> None:
    found = concluded(drawn_report, "q2", split, sent)[2]
    assert plain(found.number) == number
    assert words in plain(found.sentence)
    assert "alone it is right on 90.0 % in 98.1 ms" in plain(found.sentence)
