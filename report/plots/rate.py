"""Bytes against accuracy: the field's plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from report.plots.style import OURS, THEIRS, WIDTH, bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from report.results import PictureResult, Report

_CODECS = {
    "PNG": ("s", "#8c510a", (0, (1, 1))),
    "JPEG": ("^", "#01665e", (0, (5, 2))),
    "WebP": ("D", "#5e3c99", (0, (3, 1, 1, 1))),
    "AVIF": ("v", "#c2185b", (0, (6, 1, 1, 1, 1, 1))),
}


def rate_accuracy(report: Report) -> Figure:
    """Draw bytes against accuracy: the field's plot."""
    figure = Figure(figsize=(WIDTH, 5.4))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlabel("bytes a picture (request body, logarithmic)")
    axes.set_ylabel("accuracy, % of test pictures")
    _levels(axes, report)
    for codec in dict.fromkeys(picture.codec for picture in report.pictures if picture.codec):
        _codec(axes, codec, [picture for picture in report.pictures if picture.codec == codec])
    _as_they_are(axes, report.pictures[0])
    _feature(axes, report)
    _published(axes, report)
    _qualities(axes, report)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.margins(x=0.06)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _levels(axes: Axes, report: Report) -> None:
    """Draw what sends nothing: it has no place on a logarithmic axis of bytes."""
    levels = [("device alone, whole network: 0 bytes", report.base, (0, (8, 3)))]
    if report.own is not None:
        levels.append(("device alone, own classifier: 0 bytes", report.own, (0, (2, 2))))
    for label, scored, line in levels:
        axes.axhline(100 * scored.accuracy.value, color="0.35", linewidth=1, linestyle=line, label=label)


def _codec(axes: Axes, codec: str, pictures: Sequence[PictureResult]) -> None:
    marker, colour, line = _CODECS[codec]
    accuracy = [100 * picture.scored.accuracy.value for picture in pictures]
    axes.errorbar(
        [picture.file.mean for picture in pictures],
        accuracy,
        yerr=bars([picture.scored.accuracy for picture in pictures]),
        marker=marker,
        color=colour,
        linestyle=line,
        markersize=5,
        elinewidth=0.5,
        label=f"picture as {codec}",
    )
    axes.plot(
        [picture.bare_bytes or picture.file.mean for picture in pictures],
        accuracy,
        marker=marker,
        color=colour,
        markerfacecolor="white",
        linestyle="none",
        markersize=5,
        label=f"{codec} without its fixed header",
    )


def _as_they_are(axes: Axes, picture: PictureResult) -> None:
    axes.errorbar(
        [picture.file.mean],
        [100 * picture.scored.accuracy.value],
        yerr=bars([picture.scored.accuracy]),
        marker="P",
        color="0.2",
        linestyle="none",
        markersize=7,
        elinewidth=0.5,
        label="picture's file as it is",
    )


def _feature(axes: Axes, report: Report) -> None:
    axes.plot(
        [report.feature.zstd, report.feature.plain],
        [100 * report.base.accuracy.value] * 2,
        marker="X",
        color="0.2",
        linestyle="none",
        markersize=7,
        label="feature: float32, with zstd",
    )


def _published(axes: Axes, report: Report) -> None:
    for each in report.published:
        if each.plotted and each.body_bytes is not None and each.accuracy is not None:
            first = each is next(other for other in report.published if other.plotted)
            axes.plot(
                each.body_bytes,
                each.accuracy,
                marker="*",
                color=THEIRS,
                markerfacecolor="white",
                linestyle="none",
                markersize=9,
                label="others' own measurements" if first else None,
            )
            axes.annotate(
                each.who.split(",")[0],
                (each.body_bytes, each.accuracy),
                xytext=(6, -9),
                textcoords="offset points",
                fontsize=7,
                color=THEIRS,
            )


def _qualities(axes: Axes, report: Report) -> None:
    ordered = sorted(report.qualities.items(), key=lambda item: item[1].body.mean)
    accuracy = [100 * result.scored.accuracy.value for _, result in ordered]
    axes.errorbar(
        [result.body.mean for _, result in ordered],
        accuracy,
        yerr=bars([result.scored.accuracy for _, result in ordered]),
        marker="o",
        color=OURS,
        markersize=6,
        elinewidth=0.8,
        capsize=2,
        zorder=5,
        label="split, by quality",
    )
    for (name, result), height in zip(ordered, accuracy, strict=True):
        axes.annotate(
            name,
            (result.body.mean, height),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            weight="bold",
            zorder=6,
        )
