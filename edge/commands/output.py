"""Records for people and for scripts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from splitwire.edge.pipeline import STAGES
from splitwire.shared.command import print_line

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from splitwire.edge.records import Record

_WIDEST_PATH = 48
_FEW = 8
"""So many pictures need no bar."""


class Output:
    """Prints records: a line each on standard output, problems on standard error.

    Lines are JSON, or a table whose columns fit the given paths. Where somebody watches standard error, a bar
    there shows how far it is, under the lines where they go to the terminal too; ``total``: pictures, None: unknown.
    """

    def __init__(self, *, as_json: bool, widest_path: int = 0, total: int | None = None) -> None:
        self._as_json = as_json
        self._width = min(_WIDEST_PATH, max(widest_path, len("picture")))
        self._heading = not as_json
        watched = sys.stderr.isatty()
        self._bar = _bar() if watched and total is not None and total > _FEW else None
        self._task = self._bar.add_task("", total=total) if self._bar else None

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it as it is."""
        if self._bar:
            self._bar.stop()

    def record(self, record: Record) -> None:
        """Print one."""
        if self._as_json:
            self._line(record.model_dump_json())
        if record.error is not None:
            message = record.error.message
            print_line(
                f"error: {message if message.startswith(record.path) else f'{record.path}: {message}'}"
            )
        elif not self._as_json:
            self._row(record)
        if self._bar and self._task is not None:
            self._bar.advance(self._task)

    def _line(self, text: str) -> None:
        if self._bar and sys.stdout.isatty():
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(text)

    def _row(self, record: Record) -> None:
        if self._heading:
            self._heading = False
            self._line(f"{'picture':{self._width}}  {'label':12} {'sure':>6} {'bytes':>8} {'ms':>7}  source")
        size = "" if record.body_bytes is None else f"{record.body_bytes:,.0f}"
        times = record.timings_ms
        notes = [f"{guess.label} {guess.probability:.1%}" for guess in record.top[1:]]
        notes += [f"{stage} {times[stage]:.0f}" for stage in STAGES if stage in times]
        notes += [record.reason] if record.reason else []
        source = record.source if record.source == "device" else f"{record.source} {record.quality}"
        self._line(
            f"{record.path:{self._width}}  {record.label:12} {record.probability:>6.1%} {size:>8} "
            f"{times['total']:>7.0f}  {source} ({', '.join(notes)})"
        )


def _bar() -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=not sys.stdout.isatty()),
        transient=True,
        redirect_stdout=False,
    )
