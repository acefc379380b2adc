"""All plots, as SVG and PNG."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from matplotlib import rc_context

from splitwire.report.page.plots import accuracy, rate, times
from splitwire.report.page.plots.style import RC

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from splitwire.report.results import Report

RATE_ACCURACY, CLASSES, CONFIDENT = "rate-accuracy", "classes", "confident"
PHASES, BANDWIDTH, CHECKS = "phases", "bandwidth", "model-check"


def save_plots(report: Report, folder: Path) -> dict[str, bytes]:
    """Write every plot that the report has numbers for: its SVG by name."""
    drawn: dict[str, Callable[[], Figure]] = {
        RATE_ACCURACY: lambda: rate.rate_accuracy(report),
        CLASSES: lambda: accuracy.classes(report),
        PHASES: lambda: times.phases(report),
        BANDWIDTH: lambda: times.bandwidth(report),
    }
    if report.checks:
        drawn[CHECKS] = lambda: times.checks(report.checks)
    if report.confident and (own := report.own) is not None:
        drawn[CONFIDENT] = lambda: accuracy.confident(report, own)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, bytes] = {}
    for name, draw in drawn.items():
        # A salt and no date: the same numbers give the same file.
        # Classes have names in any script: in SVG the reader's fonts write them.
        text = "none" if name == CLASSES else "path"
        with rc_context({**RC, "svg.fonttype": text, "svg.hashsalt": name}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")
            figure = draw()
            figure.savefig(folder / f"{name}.png")
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        found[name] = (folder / f"{name}.svg").read_bytes()
    return found
