"""Numbers and findings in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from report.time_model import FASTEST, SLOWEST

if TYPE_CHECKING:
    from report.statistics import Difference, Spread
    from report.time_model import Crossing
    from shared.evaluation import Share

_THOUSAND = 1000
_RATES = {"Gbit/s": 1e9, "Mbit/s": 1e6, "kbit/s": 1e3, "bit/s": 1.0}
MINUS = "\N{MINUS SIGN}"


def percent(share: Share | float) -> str:
    """Write a share of 1 as 89.4 %."""
    return f"{100 * (share if isinstance(share, float) else share.value):.1f} %"


def interval(share: Share) -> str:
    """Write a share's 95 % interval."""
    return f"{100 * share.low:.1f} to {100 * share.high:.1f}"


def signed(value: float, digits: int = 1) -> str:
    """Write a number with its sign, 0 without."""
    text = f"{value:+.{digits}f}".replace("-", MINUS)
    return text if text.strip(f"+{MINUS}0.") else text[1:]


def points(difference: Difference) -> str:
    """Write a difference of shares in points of a hundred."""
    return signed(100 * difference.value)


def points_interval(difference: Difference) -> str:
    """Write a difference's 95 % interval in points of a hundred."""
    return f"{signed(100 * difference.low)} to {signed(100 * difference.high)}"


def count(value: float) -> str:
    """Write bytes: whole, or under a hundred with one digit more where there is one."""
    return f"{value:,.1f}" if value < 100 and not float(value).is_integer() else f"{value:,.0f}"


def megabytes(value: float) -> str:
    """Write bytes as 52.4 MB, small ones as 0.3 MB."""
    return f"{value / 1e6:,.1f} MB"


def milliseconds(value: float) -> str:
    """Write a time with three digits: 0.12, 3.4, 120."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def median_and_p95(spread: Spread) -> str:
    """Write median and 95th percentile."""
    return f"{milliseconds(spread.median)} ({milliseconds(spread.p95)})"


def duration(value: float) -> str:
    """Write milliseconds with the unit that suits: 3.4 ms, 1.2 s."""
    return f"{milliseconds(value)} ms" if value < _THOUSAND else f"{value / _THOUSAND:,.2g} s"


def rate(bits: float) -> str:
    """Write bits a second in two digits: 20 kbit/s, 1.5 Mbit/s."""
    rounded = float(f"{bits:.2g}")
    unit, factor = next((name, factor) for name, factor in _RATES.items() if rounded >= factor)
    return f"{rounded / factor:g} {unit}"


def times_as(ratio: float) -> str:
    """Write how many times as many: 5.9 times, 41 times."""
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:,.0f} times"


def crossing(found: Crossing) -> str:
    """Say which of two ways answers sooner, and where."""
    if found.rate is None:
        return f"{found.first} answers sooner than {found.second} at every rate from {rate(SLOWEST)} to {rate(FASTEST)}"
    return f"{found.first} answers sooner below {rate(found.rate)}, {found.second} above"
