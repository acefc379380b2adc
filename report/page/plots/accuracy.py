"""Accuracy: class by class, and against how sure the device must be to answer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from splitwire.report.page.plots.style import OURS, THEIRS, WIDTH, bars

if TYPE_CHECKING:
    from splitwire.report.results import Confident, Report, Scored


def classes(report: Report) -> Figure:
    """Draw table 1: every class without and with the autoencoder, the paper's beside ours."""
    names = report.classes
    figure = Figure(figsize=(WIDTH, 0.42 * len(names) + 1.4))
    axes = figure.add_subplot()
    rows = np.arange(len(names))[::-1].astype(float)
    coded = report.qualities[report.paper_quality].scored

    def row(scored: Scored, label: str, height: float, fill: str) -> None:
        shares = [scored.by_class[name] for name in names if name in scored.by_class]
        places = [each + height for each, name in zip(rows, names, strict=True) if name in scored.by_class]
        axes.errorbar(
            [100 * each.value for each in shares],
            places,
            xerr=bars(shares),
            linestyle="none",
            color=OURS,
            marker="o",
            elinewidth=0.8,
            label=label,
            markerfacecolor=fill,
        )

    row(report.base, "VGG16 alone", 0.14, fill="white")
    row(coded, f"with the autoencoder ({report.paper_quality})", -0.14, fill=OURS)
    paper = report.paper.by_class
    if set(names) == set(paper):
        for values, label, marker in (
            ([paper[name].without for name in names], "the paper's VGG16", "|"),
            ([paper[name].coded for name in names], "the paper's, with its CAE", "x"),
        ):
            axes.plot(
                values,
                rows,
                linestyle="none",
                color=THEIRS,
                marker=marker,
                markersize=7,
                label=label,
            )
    axes.set_yticks(rows, names)
    axes.set_xlabel("accuracy, % of the class's test pictures (bars: 95 % intervals)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def confident(result: Confident, own: Scored, sent: Scored) -> Figure:
    """Draw ``--confident P``: how much is sent against how often that is right; between none sent and all."""
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.add_subplot()
    points = [
        ("none sent", 0.0, own.accuracy),
        *((f"{point.p:g}", 100 * point.sent.value, point.accuracy) for point in result.points),
        ("all sent", 100.0, sent.accuracy),
    ]
    axes.errorbar(
        [place for _, place, _ in points],
        [100 * accuracy.value for _, _, accuracy in points],
        yerr=bars([accuracy for _, _, accuracy in points]),
        color=OURS,
        marker="o",
        elinewidth=0.5,
        linewidth=1,
    )
    for number, (label, place, accuracy) in enumerate(points):
        axes.annotate(
            label,
            (place, 100 * accuracy.value),
            xytext=(3, 6 if number % 2 else -12),
            textcoords="offset points",
            fontsize=8,
            bbox={"boxstyle": "square,pad=0.1", "color": "white"},
        )
    axes.set_xlabel(f"pictures that are sent, % (quality {result.quality}; the number at a point is P)")
    axes.set_ylabel("accuracy, % of test pictures")
    return figure
