from __future__ import annotations

from tests.load.document import filled
from tests.load.report import Report, Row

TEXT = """# Title

<!-- soak -->
Not measured yet.
<!-- end -->

Words.

<!-- peer -->
Not measured yet.
<!-- end -->
"""


def report(*rows: Row) -> Report:
    return Report(
        target="soak",
        what="100 requests",
        date="2026-01-02",
        conditions={"processor": "a fast one", "torch": "1.2"},
        rows=list(rows),
    )


def test_a_table_takes_its_place_and_everything_else_stays() -> None:
    text = filled(TEXT, {"soak": report(Row(name="errors", value="0", wanted="0", reached=True))})
    before, _, after = TEXT.partition("Not measured yet.\n")
    assert text.startswith(before)
    assert text.endswith(after)
    assert "100 requests. 2026-01-02; a fast one, torch 1.2." in text
    assert "| errors | 0 | 0 | reached |" in text


def test_later_figures_replace_earlier_ones() -> None:
    earlier = filled(TEXT, {"soak": report(Row(name="errors", value="7", wanted="0", reached=False))})
    assert "| errors | 7 | 0 | **missed** |" in earlier
    later = {"soak": report(Row(name="errors", value="0", wanted="0", reached=True))}
    assert filled(earlier, later) == filled(TEXT, later)


def test_a_value_can_not_break_its_table() -> None:
    text = filled(TEXT, {"soak": report(Row(name="a|b", value="two\nlines"))})
    assert r"| a\|b | two lines |  |  |" in text
