"""Bytes against accuracy: the field's plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from splitwire.report.page.plots.style import OURS, THEIRS, WIDTH, bars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from splitwire.report.results import PictureResult, Report

_CODECS = {
    "PNG": ("s", "#8c510a", (0, (1, 1))),
    "JPEG": ("^", "#01665e", (0, (5, 2))),
    "WebP": ("D", "#5e3c99", (0, (3, 1, 1, 1))),
    "AVIF": ("v", "#c2185b", (0, (6, 1, 1, 1, 1, 1))),
}

_SPLIT, _OTHERS = "split, by quality", "others' own measurements"
_WHOLE, _OWN = "device alone, whole network: 0 bytes", "device alone, own classifier: 0 bytes"
_AS_IT_IS, _FEATURE = "picture's file as it is", "feature: float32, with zstd"
_TICKS = (20, 40, 60, 70, 80, 85, 88, 90, 92, 95, 98)
_MOST = 99.0
"""Percent: beyond it the scale has no end."""
_ON_WHITE = {"boxstyle": "square,pad=0.1", "color": "white", "alpha": 0.8}


def rate_accuracy(report: Report) -> Figure:
    """Draw bytes against accuracy: the field's plot."""
    figure = Figure(figsize=(WIDTH, 5.4))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlabel("bytes a picture (request body, logarithmic)")
    axes.set_ylabel("accuracy, % of test pictures (logarithm of the error)")
    axes.set_yscale("function", functions=(_from_error, _to_error))
    axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    _levels(axes, report)
    for codec in dict.fromkeys(picture.codec for picture in report.pictures if picture.codec):
        _codec(axes, codec, [picture for picture in report.pictures if picture.codec == codec])
    _as_they_are(axes, report.pictures[0])
    _feature(axes, report)
    _published(axes, report)
    _qualities(axes, report)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.margins(x=0.06)
    axes.set_ylim(top=min(_MOST, _highest(report) + 1))
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    order = sorted(by_label, key=_place)
    figure.legend([by_label[label] for label in order], order, loc="outside lower center", ncols=3)
    return figure


def _highest(report: Report) -> float:
    """Find the highest end of an interval, in percent."""
    scores = [quality.scored for quality in report.qualities.values()]
    scores += [picture.scored for picture in report.pictures]
    return 100 * max(scored.accuracy.high for scored in scores)


def _place(label: str) -> int:
    """Order the legend: three columns, where all is there."""
    columns = (_SPLIT, _WHOLE, _OWN, _AS_IT_IS, _FEATURE, "picture as ", _OTHERS)
    return next((place for place, start in enumerate(columns) if label.startswith(start)), len(columns))


def _from_error(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread high accuracies: as far from 80 to 90 % as from 90 to 95 %."""
    return -np.log10(100 - np.clip(accuracy, 0, _MOST))


def _to_error(height: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100 - 10 ** -np.asarray(height)


def _levels(axes: Axes, report: Report) -> None:
    """Draw what sends nothing: it has no place on a logarithmic axis of bytes."""
    levels = [(_WHOLE, report.base, (0, (8, 3)))]
    if report.own is not None:
        levels.append((_OWN, report.own, (0, (2, 2))))
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
        label=f"{codec} without fixed header",
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
        label=_AS_IT_IS,
    )


def _feature(axes: Axes, report: Report) -> None:
    axes.plot(
        [report.feature.zstd, report.feature.plain],
        [100 * report.base.accuracy.value] * 2,
        marker="X",
        color="0.2",
        linestyle="none",
        markersize=7,
        label=_FEATURE,
    )


def _published(axes: Axes, report: Report) -> None:
    plotted = {
        (each.body_bytes, each.accuracy): each
        for each in report.published
        if each.body_bytes is not None and each.accuracy is not None
    }
    axes.plot(
        *zip(*plotted, strict=True),
        marker="*",
        color=THEIRS,
        markerfacecolor="white",
        linestyle="none",
        markersize=9,
        label=_OTHERS,
    )
    leftmost = {each.source: (point, each) for point, each in sorted(plotted.items(), reverse=True)}
    for point, each in leftmost.values():
        axes.annotate(
            f"{each.who.split(',')[0]} et al.",
            point,
            xytext=(0, -7),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
            color=THEIRS,
            zorder=4,
            bbox=_ON_WHITE,
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
        label=_SPLIT,
    )
    for (name, result), height in zip(ordered, accuracy, strict=True):
        axes.annotate(
            name,
            (result.body.mean, height),
            xytext=(0, -11),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
            weight="bold",
            zorder=6,
            bbox=_ON_WHITE,
        )
