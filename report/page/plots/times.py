"""Time: by phase, against the link, and the model against what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from splitwire.report.page import words
from splitwire.report.page.plots.style import OURS, WIDTH
from splitwire.report.results import AS_IT_IS, PHASES, WHOLE, rewritten, split

if TYPE_CHECKING:
    from matplotlib.axis import Axis

    from splitwire.report.results import Check, Report

_LINES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
_OURS = {"color": OURS, "markerfacecolor": "white"}
_TONES = ("0.2", "0.85", "0.5", "1.0", "0.35", "0.65", "1.0", "0.0")
_HATCHES = ("", "//", "", "xx", "", "", "..", "")
"""Of each phase."""


def phases(report: Report) -> Figure:
    """Draw the medians of the phases of each way as one bar."""
    chosen = report.chosen
    names = (split(chosen.quality), rewritten(chosen.picture), AS_IT_IS, WHOLE)
    figure = Figure(figsize=(WIDTH, 2.9))
    axes = figure.add_subplot()
    axes.grid(visible=False, axis="y")
    for row, name in enumerate(names):
        left = 0.0
        for phase, tone, hatch in zip(PHASES, _TONES, _HATCHES, strict=True):
            if found := report.times[name].phases.get(phase):
                look: dict[str, Any] = {
                    "color": tone,
                    "hatch": hatch,
                    "edgecolor": "black",
                    "linewidth": 0.5,
                    "label": phase,
                }
                axes.barh(-row, found.median, 0.6, left, **look)
                left += found.median
        place: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(words.duration(left), (left, -row), **place)
    axes.set_yticks([-row for row in range(len(names))], names)
    axes.set_xlabel("milliseconds for one picture on loopback (medians, added up)")
    axes.margins(x=0.12)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = [phase for phase in PHASES if phase in handles]
    figure.legend([handles[phase] for phase in order], order, loc="outside lower center", ncols=8)
    return figure


def bandwidth(report: Report) -> Figure:
    """Draw time against rate by the model, a panel for each round trip."""
    figure = Figure(figsize=(WIDTH, 6.2))
    panels = list(figure.subplots(2, 2, sharex=True, sharey=True).flat)
    for axes, (round_trip, curves) in zip(panels, report.curves.items(), strict=True):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(f"round trip {round_trip:.0f} ms", fontsize=9)
        for (way, milliseconds), (line, marker) in zip(curves.items(), _LINES, strict=True):
            look: dict[str, Any] = {
                "linestyle": line,
                "marker": marker,
                "markersize": 4,
                "markevery": 8,
                **_OURS,
            }
            axes.plot(report.rates, milliseconds, label=way if axes is panels[0] else None, **look)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.rate(value)))
        _in_time(axes.yaxis)
        axes.tick_params(axis="x", labelrotation=40)
    for axes in panels[::2]:
        axes.set_ylabel("time from picture to answer")
    for axes in panels[2:]:
        axes.set_xlabel("rate of the link, each way")
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
        modelled = [check.modelled_ms for check in those]
        medians = [check.measured.median for check in those]
        above = [[0.0] * len(those), [check.measured.p95 - check.measured.median for check in those]]
        look: dict[str, Any] = {"linestyle": "none", "marker": marker, "elinewidth": 0.8, **_OURS}
        axes.errorbar(modelled, medians, yerr=above, label=way, **look)
    ends = [min(check.modelled_ms for check in found) / 1.5, max(check.modelled_ms for check in found) * 1.5]
    axes.plot(ends, ends, color="0.5", linewidth=1, linestyle="--", label="model = measured")
    _in_time(axes.xaxis)
    _in_time(axes.yaxis)
    axes.set_xlabel("exchange by the model")
    axes.set_ylabel("exchange as measured")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def _in_time(axis: Axis) -> None:
    """Write 1, 2, 5, 10, ... milliseconds at a logarithmic axis of milliseconds."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g} ms" if value < 1000 else f"{value / 1000:g} s")
    )
    axis.set_minor_formatter(NullFormatter())
