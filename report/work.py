"""What a stopped run leaves for the next one: each stage's result, a JSON file, in one folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue

Result = TypeVar("Result", bound=BaseModel)
_IDENTITY = "identity.json"


class Work:
    """The results of one run; ``seconds``: what computing those that were asked for took, in all runs."""

    def __init__(self, folder: Path, identity: dict[str, JsonValue]) -> None:
        """Go on with what is in the folder, or start anew where that is of another identity.

        Raises:
            SettingsError: the folder can't be written.

        """
        self.folder = folder
        self.seconds = 0.0
        text = json.dumps(identity, sort_keys=True)
        try:
            if _read(folder / _IDENTITY) != text:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                (folder / _IDENTITY).write_text(text)
        except OSError as exc:
            raise SettingsError(f"{folder} can't be written ({exc.strerror}); choose another --out") from exc

    def result(self, name: str, kind: type[Result], compute: Callable[[], Result]) -> Result:
        """Give a stage's result: an earlier run's, or else compute and keep it."""
        file = self.folder / f"{name}.json"
        try:
            kept = json.loads(_read(file) or "null")
            result = kind.model_validate(kept["result"])
            self.seconds += kept["seconds"]
        except (ValueError, ValidationError, TypeError, KeyError):
            started = time.monotonic()
            result = compute()
            seconds = time.monotonic() - started
            self.seconds += seconds
            _write(file, json.dumps({"seconds": seconds, "result": result.model_dump(mode="json")}))
        return result

    def remove(self) -> None:
        """Forget everything: the run is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(file: Path) -> str | None:
    try:
        return file.read_text()
    except FileNotFoundError:
        return None


def _write(file: Path, text: str) -> None:
    """Write whole or not at all."""
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(file)
