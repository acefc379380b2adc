"""Results for people and for scripts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from splitwire.edge.pipeline import PHASES
from splitwire.edge.results import Failed, to_line
from splitwire.shared.command import print_line, print_result

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from splitwire.edge.results import Answered, Result

_WIDEST_PATH = 48
_FEW = 8
"""So many pictures need no bar."""


class Output:
    """Prints results: a line each on standard output, failures on standard error.

    Lines are JSON, or a table whose columns fit the given paths. If standard error is a terminal, a bar there shows
    the progress; ``total``: pictures, None: unknown. ``exit_code``: the first failure's, 0 without any.
    """

    def __init__(self, *, as_json: bool, widest_path: int = 0, total: int | None = None) -> None:
        self.exit_code = 0
        self._as_json = as_json
        self._width = min(_WIDEST_PATH, max(widest_path, len("picture")))
        self._heading = not as_json
        self._bar: Progress | None = None
        if sys.stderr.isatty() and total is not None and total > _FEW:
            self._bar = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=not sys.stdout.isatty()),
                transient=True,
                redirect_stdout=False,
            )
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()

    def result(self, result: Result) -> None:
        """Print one."""
        if self._as_json:
            self._line(to_line(result))
        if isinstance(result, Failed):
            self.exit_code = self.exit_code or result.exit_code
            where = "" if result.message.startswith(result.path) else f"{result.path}: "
            print_line(f"error: {where}{result.message}")
        elif not self._as_json:
            self._row(result)
        if self._bar:
            self._bar.advance(self._task)

    def _line(self, text: str) -> None:
        if self._bar and sys.stdout.isatty():
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print_result(text)

    def _row(self, result: Answered) -> None:
        if self._heading:
            self._heading = False
            self._line(f"{'picture':{self._width}}  {'label':12} {'sure':>6} {'bytes':>8} {'ms':>7}  source")
        size = "" if result.body_bytes is None else f"{result.body_bytes:,.0f}"
        times = result.timings_ms
        notes = [f"{guess.label} {guess.probability:.1%}" for guess in result.top[1:]]
        notes += [f"{phase} {times[phase]:.0f}" for phase in PHASES if phase in times]
        notes += [result.reason] if result.reason else []
        source = result.source if result.source == "device" else f"{result.source} {result.quality}"
        self._line(
            f"{result.path:{self._width}}  {result.label:12} {result.probability:>6.1%} {size:>8} "
            f"{times['total']:>7.0f}  {source} ({', '.join(notes)})"
        )
