"""Numbers and findings in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from report.statistics import Difference, Spread
    from report.time_model import Crossing
    from shared.evaluation import Share

_THOUSAND = 1000
_RATES = {"Gbit/s": 1e9, "Mbit/s": 1e6, "kbit/s": 1e3, "bit/s": 1.0}
_SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def percent(share: Share | float) -> str:
    """Write a share of 1 as 89.4 %."""
    return f"{100 * (share if isinstance(share, float) else share.value):.1f}{_SPACE}%"


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
    return f"{value / 1e6:,.1f}{_SPACE}MB"


def milliseconds(value: float) -> str:
    """Write a time with three digits: 0.12, 3.4, 120."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def median_and_p95(spread: Spread) -> str:
    """Write median and 95th percentile."""
    return f"{milliseconds(spread.median)} ({milliseconds(spread.p95)})"


def duration(value: float) -> str:
    """Write milliseconds with the unit that suits: 3.4 ms, 1.2 s."""
    if value < _THOUSAND:
        return f"{milliseconds(value)}{_SPACE}ms"
    return f"{value / _THOUSAND:,.2g}{_SPACE}s"


def rate(bits: float) -> str:
    """Write bits a second: 20 kbit/s, 1.5 Mbit/s."""
    unit, factor = next((name, factor) for name, factor in _RATES.items() if bits >= factor)
    return f"{bits / factor:.3g}{_SPACE}{unit}"


def times_as(ratio: float) -> str:
    """Write how many times as many: 5.9 times, 41 times."""
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:,.0f} times"


def about(bits: float) -> str:
    """Write bits a second in two digits."""
    return rate(float(f"{bits:.2g}"))


def crossing(found: Crossing) -> str:
    """Say which of two ways is answered sooner, and where."""
    if found.rate is None:
        return f"{found.first}, at every rate"
    return f"{found.first} below {about(found.rate)}, {found.second} above"


def crossings(found: Sequence[Crossing]) -> dict[str, list[str]]:
    """Say the same for pairs of ways at several round trips; what holds for all of them is said once."""
    pairs: dict[frozenset[str], list[Crossing]] = {}
    for each in found:
        pairs.setdefault(frozenset((each.first, each.second)), []).append(each)
    said: dict[str, list[str]] = {}
    for those in pairs.values():
        title = " against ".join(sorted((those[0].first, those[0].second), reverse=True))
        findings = [crossing(each) for each in those]
        said[title] = (
            [f"{findings[0]}, whatever the round trip"]
            if len(set(findings)) == 1
            else [
                f"at a round trip of {each.round_trip_ms:g}{_SPACE}ms {finding}"
                for each, finding in zip(those, findings, strict=True)
            ]
        )
    return said
