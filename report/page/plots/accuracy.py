"""Accuracy: class by class, and against how sure the device must be to answer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from splitwire.report.page.plots.style import OURS, THEIRS, WIDTH, draw_shares

if TYPE_CHECKING:
    from splitwire.report.results import Report, Scored


def classes(report: Report) -> Figure:
    """Draw the table by class: uncompressed and in a quality, the paper's beside ours where it applies."""
    names, paper = [each.name for each in report.by_class], report.paper
    figure = Figure(figsize=(WIDTH, 0.42 * len(names) + 1.4))
    axes = figure.add_subplot()
    rows = range(len(names) - 1, -1, -1)
    for shares, label, height, fill in (
        ([each.base for each in report.by_class], "uncompressed", 0.14, "white"),
        ([each.coded for each in report.by_class], f"quality {report.table_quality}", -0.14, OURS),
    ):
        look: dict[str, Any] = {
            "label": label,
            "markerfacecolor": fill,
            "linestyle": "none",
            "elinewidth": 0.8,
        }
        draw_shares(axes, [row + height for row in rows], shares, across=True, **look)
    if paper:
        for values, label, marker in (
            ([paper[name].without for name in names], "the paper's VGG16", "|"),
            ([paper[name].coded for name in names], "the paper's, with its CAE", "x"),
        ):
            axes.scatter(values, rows, 49, THEIRS, marker=marker, label=label)
    axes.set_yticks(rows, names)
    axes.set_xlabel("accuracy, % of the class's test pictures (bars: 95 % intervals)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def confident(report: Report, own: Scored) -> Figure:
    """Draw ``--confident P``: how much is sent against how often that is right; between none sent and all."""
    quality = report.chosen.quality
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.add_subplot()
    points = [
        ("none sent", 0.0, own.accuracy),
        *((f"{point.p:g}", 100 * point.sent.value, point.accuracy) for point in report.confident),
        ("all sent", 100.0, report.qualities[quality].scored.accuracy),
    ]
    labels, places, shares = zip(*points, strict=True)
    draw_shares(axes, places, shares, linewidth=1)
    for number, (label, place, share) in enumerate(zip(labels, places, shares, strict=True)):
        axes.annotate(
            label,
            (place, 100 * share.value),
            xytext=(3, 6 if number % 2 else -12),
            textcoords="offset points",
            fontsize=8,
            bbox={"boxstyle": "square,pad=0.1", "color": "white"},
        )
    axes.set_xlabel(f"pictures that are sent, % (quality {quality}; the number at a point is P)")
    axes.set_ylabel("accuracy, % of test pictures")
    return figure
