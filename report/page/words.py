"""Numbers and findings in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splitwire.report.results import Crossing
    from splitwire.report.statistics import Difference, Spread
    from splitwire.shared.evaluation import Share

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


def crossings(found: Sequence[Crossing]) -> list[str]:
    """Say the same in a sentence for each pair of ways; what holds for every round trip is said once."""
    pairs: dict[tuple[str, str], list[Crossing]] = {}
    for each in found:
        pairs.setdefault((each.first, each.second), []).append(each)
    sentences = []
    for (first, second), those in pairs.items():
        where = [f"below {about(each.rate)}" if each.rate else "at every rate" for each in those]
        if len(set(where)) == 1 and (second, first) not in pairs:
            places = f"{where[0]}, whatever the round trip"
        else:
            places = ", ".join(
                f"{place} with a round trip of {each.round_trip_ms:g}{_SPACE}ms"
                for place, each in zip(where, those, strict=True)
            )
        sentences.append(f"{first[0].upper()}{first[1:]} is answered sooner than {second} {places}.")
    return sentences
