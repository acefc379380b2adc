"""How far a report is: the stage at work, and the whole with the time left."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from splitwire.models.training.fitting.progress import stage_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self


class Steps:
    """``plan``: for each stage how many steps it has, and the seconds that one is expected to take."""

    def __init__(self, plan: Mapping[str, tuple[int, float]]) -> None:
        self._plan = plan
        self._progress = stage_progress()
        self._stage = self._progress.add_task("", total=None, note="")
        self._whole = self._progress.add_task(
            "report", total=sum(count * seconds for count, seconds in plan.values()), note=""
        )

    def __enter__(self) -> Self:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it as it is."""
        self._progress.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int], None]]:
        """Begin a stage: a function to be told how many more steps are done; its end does the rest."""
        count, seconds = self._plan[name]
        self._progress.reset(self._stage, total=count, description=name)
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            self._progress.advance(self._stage, steps)
            self._progress.advance(self._whole, steps * seconds)

        yield advance
        advance(count - done)
