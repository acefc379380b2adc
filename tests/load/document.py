"""Writes what was measured into ``docs/performance.md``: ``make performance``.

Each target's table stands between ``<!-- TARGET -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.load.report import FOLDER, Report

DOCUMENT = Path("docs/performance.md")
_PLACE = re.compile(r"(<!-- ([\w.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, reports: dict[str, Report]) -> str:
    """Put every report's table in its place; the places of other targets stay as they are."""

    def table(place: re.Match[str]) -> str:
        begin, target, end = place.groups()
        return f"{begin}{table_of(reports[target])}{end}" if target in reports else place.group()

    return _PLACE.sub(table, text)


def table_of(report: Report) -> str:
    """Write a report as Markdown: what, when, on what, and a line for each figure."""
    marks = {None: "", True: "reached", False: "**missed**"}
    conditions = ", ".join(
        value if name in {"processor", "system"} else f"{name} {value}"
        for name, value in report.conditions.items()
    )
    lines = [
        f"{report.what}. {report.date}; {conditions}.",
        "",
        "| | measured | wanted | |",
        "|---|---|---|---|",
        *(
            f"| {_cell(row.name)} | {_cell(row.value)} | {row.wanted} | {marks[row.reached]} |"
            for row in report.rows
        ),
    ]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Fill the document with what lies in ``build/load``."""
    reports = {
        file.stem: Report.model_validate_json(file.read_bytes()) for file in sorted(FOLDER.glob("*.json"))
    }
    if not reports:
        sys.exit(f"{FOLDER} has no figures; run make load first")
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), reports))
    sys.stdout.write(f"{DOCUMENT}: {', '.join(reports)}\n")


if __name__ == "__main__":
    main()
