"""The steps of a run: how far each is, and its result, kept for a run that was stopped and goes on."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Self

    from pydantic import JsonValue

Result = TypeVar("Result")


class Steps:
    """Steps by name, with what they show and what they leave in ``folder``."""

    def __init__(
        self, folder: Path, identity: Mapping[str, JsonValue], forecast: Mapping[str, tuple[int, float]]
    ) -> None:
        """Go on with what is in the folder, or start anew where that is of another identity.

        Args:
            folder: for the results until the run is complete.
            identity: of the run: what was measured, by which code.
            forecast: by step, how many units it has, and the seconds that one is expected to take.

        Raises:
            SettingsError: the folder can't be written.

        """
        self.folder = folder
        self._forecast = forecast
        self._progress = stage_progress()
        self._step = self._progress.add_task("", total=None, note="")
        total = sum(count * seconds for count, seconds in forecast.values())
        self._whole = self._progress.add_task("report", total=total, note="")
        if self._kept("identity", dict) != identity:
            try:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                self._keep("identity", json.dumps(identity).encode())
            except OSError as exc:
                raise SettingsError(
                    f"{folder} can't be written ({exc.strerror}); choose another --out"
                ) from exc

    def __enter__(self) -> Self:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it as it is."""
        self._progress.stop()

    @property
    def seconds(self) -> float:
        """What the steps took so far, in all runs."""
        return self._kept("seconds", float) or 0.0

    @contextmanager
    def showing(self, name: str) -> Iterator[Callable[[int], None]]:
        """Show a step; what is given is told how many more units are done, and the step's end does the rest."""
        count, seconds = self._forecast[name]
        self._progress.reset(self._step, total=count, description=name)
        done, started = 0, time.monotonic()

        def advance(units: int) -> None:
            nonlocal done
            done += units
            self._progress.advance(self._step, units)
            self._progress.advance(self._whole, units * seconds)

        try:
            yield advance
            advance(count - done)
        finally:
            self._keep("seconds", json.dumps(self.seconds + time.monotonic() - started).encode())

    def result(self, name: str, kind: type[Result], compute: Callable[[], Result]) -> Result:
        """Give the result of an earlier run, or else compute and keep it."""
        result = self._kept(name, kind)
        if result is None:
            result = compute()
            self._keep(name, TypeAdapter(kind).dump_json(result))
        return result

    def run(
        self, name: str, kind: type[Result], compute: Callable[[Callable[[int], None]], Result]
    ) -> Result:
        """Show a step and give its result."""
        with self.showing(name) as advance:
            return self.result(name, kind, lambda: compute(advance))

    def _kept(self, name: str, kind: type[Result]) -> Result | None:
        try:
            return TypeAdapter(kind).validate_json((self.folder / f"{name}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def _keep(self, name: str, text: bytes) -> None:
        """Write whole or not at all."""
        draft = self.folder / f"{name}.draft"
        draft.write_bytes(text)
        draft.replace(self.folder / f"{name}.json")
