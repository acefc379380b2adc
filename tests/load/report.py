"""What was reached: a table for people, JSON for ``docs/performance.md``, an exit code for make."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from tests.load.machine import conditions

FOLDER = Path("build/load")


class Row(BaseModel):
    """A figure, and where it is one that must be reached, what was wanted and whether it was."""

    name: str
    value: str
    wanted: str = ""
    reached: bool | None = None


class Report(BaseModel):
    """Everything that one target found."""

    target: str
    what: str
    date: str
    conditions: dict[str, str]
    rows: list[Row]

    @property
    def reached(self) -> bool:
        """Whether nothing that was wanted was missed."""
        return all(row.reached is not False for row in self.rows)


def finish(target: str, what: str, rows: list[Row]) -> None:
    """Print the table, write the JSON, and exit: 0 where all was reached, else 1."""
    report = Report(
        target=target,
        what=what,
        date=datetime.now(UTC).date().isoformat(),
        conditions=conditions(),
        rows=rows,
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{target}.json").write_text(report.model_dump_json(indent=2) + "\n")
    table = Table(title=f"{target}: {what}", title_justify="left")
    for heading in ("", "measured", "wanted", ""):
        table.add_column(heading)
    for row in rows:
        mark = {None: "", True: "[green]reached", False: "[red]MISSED"}[row.reached]
        table.add_row(row.name, row.value, row.wanted, mark)
    Console(width=max(Console().width, 110)).print(table)
    sys.exit(not report.reached)
