"""Loss curves as a picture."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path


def plot_log(log: Path, picture: Path, title: str) -> None:
    """Draw a stage's ``log.csv``: training and held-out loss, and held-out accuracy, by step."""
    with log.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    losses = figure.subplots()
    for column, style, label in (
        ("training_loss", "-", "training loss"),
        ("validation_loss", "--o", "held-out loss"),
    ):
        points = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        if points:
            losses.plot(*zip(*points, strict=True), style, label=label)
    losses.set(title=title, xlabel="step", ylabel="loss")
    accuracies = losses.twinx()
    points = [
        (int(row["step"]), 100 * float(row["validation_accuracy"]))
        for row in rows
        if row["validation_accuracy"]
    ]
    if points:
        accuracies.plot(*zip(*points, strict=True), ":s", color="black", label="held-out accuracy")
    accuracies.set_ylabel("held-out accuracy, %")
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(picture, dpi=120)
