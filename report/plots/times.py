"""Time: by stage, against the link, and the model against what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from report import ways, words
from report.plots.style import OURS, WIDTH
from report.stages import STAGES
from report.time_model import ROUND_TRIPS_MS

if TYPE_CHECKING:
    from report.results import Check, Report
    from report.stages import WayTimes

_LINES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "oo", "++", "**")
_TONES = ("0.25", "0.85", "0.6", "0.95", "0.45", "0.75", "1.0", "0.9")


def stages(report: Report) -> Figure:
    """Draw the medians of the stages of each way as one bar."""
    times = report.times
    bars: list[tuple[str, WayTimes]] = [
        (ways.split(report.chosen.quality), times.qualities[report.chosen.quality]),
        (ways.rewritten(report.chosen.picture), times.rewritten),
        (ways.AS_IT_IS, times.picture),
        (ways.WHOLE, times.whole),
    ]
    figure = Figure(figsize=(WIDTH, 2.9))
    axes = figure.add_subplot()
    axes.grid(visible=False, axis="y")
    for row, (_, way) in enumerate(bars):
        left = 0.0
        for number, stage in enumerate(STAGES):
            if stage in way.stages:
                width = way.stages[stage].median
                axes.barh(
                    -row,
                    width,
                    left=left,
                    height=0.6,
                    color=_TONES[number],
                    hatch=_HATCHES[number],
                    edgecolor="black",
                    linewidth=0.5,
                    label=stage,
                )
                left += width
        axes.annotate(
            words.duration(left), (left, -row), xytext=(4, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks([-row for row in range(len(bars))], [name for name, _ in bars])
    axes.set_xlabel("milliseconds for one picture on loopback (medians, added up)")
    axes.margins(x=0.12)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = [stage for stage in STAGES if stage in handles]
    figure.legend([handles[stage] for stage in order], order, loc="outside lower center", ncols=8)
    return figure


def bandwidth(report: Report) -> Figure:
    """Draw time against rate by the model, a panel for each round trip."""
    figure = Figure(figsize=(WIDTH, 6.2))
    panels = list(figure.subplots(2, 2, sharex=True, sharey=True).flat)
    for axes, round_trip in zip(panels, ROUND_TRIPS_MS, strict=True):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(f"round trip {round_trip:.0f} ms", fontsize=9)
        curves = [curve for curve in report.curves if curve.round_trip_ms == round_trip]
        for curve, (line, marker) in zip(curves, _LINES, strict=True):
            axes.plot(
                report.rates,
                curve.milliseconds,
                color=OURS,
                linestyle=line,
                marker=marker,
                markerfacecolor="white",
                markersize=4,
                markevery=8,
                label=curve.way if axes is panels[0] else None,
            )
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.rate(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.duration(value)))
        axes.tick_params(axis="x", labelrotation=40)
    figure.supxlabel("rate of the link, each way", fontsize=9)
    figure.supylabel("time from picture to answer", fontsize=9)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def checks(found: tuple[Check, ...]) -> Figure:
    """Draw measured against modelled times of exchanges on shaped links."""
    figure = Figure(figsize=(WIDTH, 3.9))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for way, (_, marker) in zip(dict.fromkeys(check.way for check in found), _LINES, strict=False):
        those = [check for check in found if check.way == way]
        axes.errorbar(
            [check.modelled_ms for check in those],
            [check.measured.median for check in those],
            yerr=[[0.0] * len(those), [check.measured.p95 - check.measured.median for check in those]],
            linestyle="none",
            color=OURS,
            marker=marker,
            markerfacecolor="white",
            elinewidth=0.8,
            label=way,
        )
    ends = [min(check.modelled_ms for check in found) / 1.5, max(check.modelled_ms for check in found) * 1.5]
    axes.plot(ends, ends, color="0.5", linewidth=1, linestyle="--", label="model = measured")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: words.duration(value)))
    axes.set_xlabel("exchange by the model")
    axes.set_ylabel("exchange as measured (median; bar up to the 95th percentile)")
    figure.legend(loc="outside lower center", ncols=4)
    return figure
