"""A stage's log: a CSV file, and its curves as a picture."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

_FIELDS = ("step", "epoch", "training_loss", "validation_loss", "validation_accuracy", "seconds")


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What a stage measures on held-out pictures; accuracy in 0..1."""

    loss: float
    accuracy: float


class TrainingLog:
    """``log.csv`` of a stage; on resumption what was written after the checkpoint is dropped."""

    def __init__(self, file: Path, step: int) -> None:
        self._file = file
        kept: list[dict[str, str]] = []
        if step and file.exists():
            kept = [row for row in self._rows() if int(row["step"]) <= step]
        self._spent = float(kept[-1]["seconds"]) if kept else 0.0
        self._started = time.monotonic()
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, _FIELDS)
            writer.writeheader()
            writer.writerows(kept)

    def seconds(self) -> float:
        """Tell how long training took so far, interruptions left out."""
        return self._spent + time.monotonic() - self._started

    def write(self, step: int, epoch: int, losses: list[float], validation: Validation | None = None) -> None:
        """Add a row: the mean of the latest training losses, and a validation where there was one."""
        row = {
            "step": step,
            "epoch": epoch,
            "training_loss": sum(losses) / len(losses) if losses else None,
            "validation_loss": validation.loss if validation else None,
            "validation_accuracy": validation.accuracy if validation else None,
            "seconds": round(self.seconds(), 1),
        }
        with self._file.open("a", newline="") as stream:
            csv.DictWriter(stream, _FIELDS).writerow(row)

    def plot(self, picture: Path, title: str) -> None:
        """Draw training and held-out loss, and held-out accuracy, by step."""
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        losses = figure.subplots()
        losses.plot(*self._curve("training_loss"), "-", label="training loss")
        losses.plot(*self._curve("validation_loss"), "--o", label="held-out loss")
        losses.set(title=title, xlabel="step", ylabel="loss")
        accuracies = losses.twinx()
        steps, shares = self._curve("validation_accuracy")
        accuracies.plot(
            steps, [100 * share for share in shares], ":s", color="black", label="held-out accuracy"
        )
        accuracies.set_ylabel("held-out accuracy, %")
        figure.legend(loc="outside lower center", ncols=3)
        figure.savefig(picture, dpi=120)

    def _rows(self) -> list[dict[str, str]]:
        with self._file.open(newline="") as stream:
            return list(csv.DictReader(stream))

    def _curve(self, column: str) -> tuple[list[int], list[float]]:
        rows = [row for row in self._rows() if row[column]]
        return [int(row["step"]) for row in rows], [float(row[column]) for row in rows]
