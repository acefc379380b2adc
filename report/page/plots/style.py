"""What the plots have in common: legible in black and white, where colour alone tells nothing apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from splitwire.shared.evaluation import Share

WIDTH = 7.4
"""Inches."""
OURS, THEIRS = "#000000", "#777777"
RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.color": "0.88",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.dpi": 160,
    "text.parse_math": False,
}


def draw_shares(
    axes: Axes, places: Sequence[float], shares: Sequence[Share], *, across: bool = False, **look: object
) -> None:
    """Draw shares in percent with their 95 % intervals, upwards over ``places`` or across at these heights."""
    values = [100 * each.value for each in shares]
    # Of all or none of a few pictures, the interval's end can be off by a rounding error.
    bars = [
        [100 * max(0.0, each.value - each.low) for each in shares],
        [100 * max(0.0, each.high - each.value) for each in shares],
    ]
    options: dict[str, Any] = {"marker": "o", "color": OURS, "elinewidth": 0.5, **look}
    if across:
        axes.errorbar(values, places, xerr=bars, **options)
    else:
        axes.errorbar(places, values, yerr=bars, **options)
