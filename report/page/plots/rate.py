"""Bytes against accuracy: the field's plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from splitwire.report.page.plots.style import THEIRS, WIDTH, draw_shares

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from splitwire.report.results import Report, Sent
    from splitwire.shared.evaluation import Share

_CODECS = {
    "PNG": ("s", "#8c510a", (0, (1, 1))),
    "JPEG": ("^", "#01665e", (0, (5, 2))),
    "WebP": ("D", "#5e3c99", (0, (3, 1, 1, 1))),
    "AVIF": ("v", "#c2185b", (0, (6, 1, 1, 1, 1, 1))),
    "JXL": ("o", "#b8860b", (0, (4, 1))),
}
"""Mark, colour and line."""
_SPLIT, _OTHERS = "split, by quality", "others' own measurements"
_WHOLE, _OWN = "device alone, whole network: 0 bytes", "device alone, own classifier: 0 bytes"
_AS_IT_IS, _FEATURE = "picture's file as it is", "feature: float32, with zstd"
_TICKS = (20, 40, 60, 70, 80, 85, 88, 90, 92, 95, 98, 99, 99.5)
_MOST = 99.9
"""Percent: beyond it the scale has no end."""
_UNDER: dict[str, Any] = {
    "textcoords": "offset points",
    "ha": "center",
    "va": "top",
    "bbox": {"boxstyle": "square,pad=0.1", "color": "white", "alpha": 0.8},
}
"""How words stand under their point."""


def rate_accuracy(report: Report) -> Figure:
    """Draw bytes against accuracy: the field's plot."""
    figure = Figure(figsize=(WIDTH, 5.4))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlabel("bytes a picture (request body, logarithmic)")
    axes.set_ylabel("accuracy, % of test pictures (logarithm of the error)")
    axes.set_yscale("function", functions=(_from_error, _to_error))
    axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    as_it_is, written = report.pictures[0], report.pictures[1:]
    base = 100 * report.base.accuracy.value
    # What sends nothing has no place on a logarithmic axis of bytes.
    axes.axhline(base, color="0.35", linewidth=1, linestyle=(0, (8, 3)), label=_WHOLE)
    if report.own is not None:
        own = 100 * report.own.accuracy.value
        axes.axhline(own, color="0.35", linewidth=1, linestyle=(0, (2, 2)), label=_OWN)
    for codec in dict.fromkeys(picture.codec for picture in written):
        _codec(axes, codec, [picture for picture in written if picture.codec == codec])
    look: dict[str, Any] = {"color": "0.2", "linestyle": "none", "markersize": 7}
    draw_shares(axes, [as_it_is.body.mean], [as_it_is.scored.accuracy], marker="P", label=_AS_IT_IS, **look)
    axes.plot([report.feature.zstd, report.feature.plain], [base] * 2, marker="X", label=_FEATURE, **look)
    if report.published:
        _published(axes, report)
    _qualities(axes, report)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.margins(x=0.06)
    ours = [100 * each.scored.accuracy.high for each in (*report.qualities.values(), *report.pictures)]
    highest = max(ours + [each.accuracy or 0 for each in report.published])
    axes.set_ylim(top=min(_MOST, highest + 1))
    by_label = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = sorted(by_label, key=_place)
    figure.legend([by_label[label] for label in order], order, loc="outside lower center", ncols=3)
    return figure


def _place(label: str) -> int:
    """Order the legend: three columns, where all is there."""
    columns = (_SPLIT, _WHOLE, _OWN, _AS_IT_IS, _FEATURE, _OTHERS, "picture as ")
    return next((place for place, start in enumerate(columns) if label.startswith(start)), len(columns))


def _from_error(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread high accuracies: as far from 80 to 90 % as from 90 to 95 %."""
    return -np.log10(100 - np.clip(accuracy, 0, _MOST))


def _to_error(height: NDArray[np.float64]) -> NDArray[np.float64]:
    return 100 - 10 ** -np.asarray(height)


def _codec(axes: Axes, codec: str, pictures: Sequence[Sent]) -> None:
    marker, colour, line = _CODECS[codec]
    look: dict[str, Any] = {"marker": marker, "color": colour, "markersize": 5}
    sizes, shares = _best((each.body.mean, each.scored.accuracy) for each in pictures)
    draw_shares(axes, sizes, shares, linestyle=line, label=f"picture as {codec}", **look)
    bare, shares = _best((each.bare_bytes or each.body.mean, each.scored.accuracy) for each in pictures)
    look |= {"markerfacecolor": "white", "linestyle": "none", "label": f"{codec} without fixed header"}
    axes.plot(bare, [100 * share.value for share in shares], **look)


def _best(points: Iterable[tuple[float, Share]]) -> tuple[list[float], list[Share]]:
    """Keep sizes and shares of the settings that are more accurate than every smaller file, smallest first."""
    sizes: list[float] = []
    shares: list[Share] = []
    for size, share in sorted(points, key=lambda point: point[0]):
        if not shares or share.value > shares[-1].value:
            sizes.append(size)
            shares.append(share)
    return sizes, shares


def _published(axes: Axes, report: Report) -> None:
    plotted = {
        (each.body_bytes, each.accuracy): each
        for each in report.published
        if each.body_bytes is not None and each.accuracy is not None
    }
    look: dict[str, Any] = {"marker": "*", "color": THEIRS, "markerfacecolor": "white", "linestyle": "none"}
    axes.plot(*zip(*plotted, strict=True), markersize=9, label=_OTHERS, **look)
    leftmost = {(each.who, each.what): point for point, each in sorted(plotted.items(), reverse=True)}
    for (_, what), point in leftmost.items():
        axes.annotate(what, point, xytext=(0, -7), fontsize=7, color=THEIRS, zorder=4, **_UNDER)


def _qualities(axes: Axes, report: Report) -> None:
    ordered = sorted(report.qualities.items(), key=lambda item: item[1].body.mean)
    sizes = [result.body.mean for _, result in ordered]
    shares = [result.scored.accuracy for _, result in ordered]
    look: dict[str, Any] = {"markersize": 6, "elinewidth": 0.8, "capsize": 2, "zorder": 5, "label": _SPLIT}
    draw_shares(axes, sizes, shares, **look)
    for (name, _), size, share in zip(ordered, sizes, shares, strict=True):
        point = (size, 100 * share.value)
        axes.annotate(name, point, xytext=(0, -11), fontsize=8, weight="bold", zorder=6, **_UNDER)
