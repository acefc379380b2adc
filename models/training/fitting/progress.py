"""Progress bars of long work."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

CONSOLE = Console(stderr=True)


def stage_progress(*, transient: bool = False) -> Progress:
    """Build a bar with count, time spent and time left, on standard error; a transient one leaves nothing."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=CONSOLE,
        refresh_per_second=2,
        transient=transient,
        disable=transient and not CONSOLE.is_terminal,
    )
