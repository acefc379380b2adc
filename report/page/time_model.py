"""How long an answer takes on a link that was not measured: what was timed on loopback, and the cost of the link.

time = phases on the device and in the cloud (medians) + exchange (see splitwire.edge.network.cost)
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from splitwire.edge.network.cost import link_seconds
from splitwire.report.results import BEYOND, Crossing, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from splitwire.report.results import Sent, WayTimes

SLOWEST, FASTEST = 1e4, 1e9
"""Bits a second."""
ROUND_TRIPS_MS = (1.0, 10.0, 50.0, 200.0)
_POINTS_A_DECADE = 8
_BISECTIONS = 40


def ways_of(times: Mapping[str, WayTimes], sent: Mapping[str, Sent]) -> dict[str, Way]:
    """Put phases and bytes of every way together; what is not ``sent`` happens on the device alone."""
    found = {}
    for name, each in times.items():
        total, beyond, there, back = each.sum_of_medians(), 0.0, 0.0, 0.0
        if name in sent:
            beyond = each.sum_of_medians(BEYOND)
            traffic = sent[name].traffic
            # Where the socket does not count: the body alone.
            there, back = (traffic.sent, traffic.received) if traffic else (sent[name].body.mean, 0.0)
        found[name] = Way(name=name, device_ms=total - beyond, beyond_ms=beyond, sent=there, received=back)
    return found


def rates() -> tuple[float, ...]:
    """List the rates of the curves, bits a second."""
    steps = round(math.log10(FASTEST / SLOWEST) * _POINTS_A_DECADE)
    return tuple(SLOWEST * 10 ** (step / _POINTS_A_DECADE) for step in range(steps + 1))


def milliseconds(way: Way, rate: float, round_trip_ms: float) -> float:
    """Predict the time from picture to answer; a way that sends nothing needs no link."""
    phases = way.device_ms + way.beyond_ms
    return (
        phases + 1e3 * link_seconds(way.sent, way.received, rate, round_trip_ms / 1e3) if way.sent else phases
    )


def curves(ways: Sequence[Way]) -> dict[float, dict[str, tuple[float, ...]]]:
    """Draw every way at every round trip over ``rates()``."""
    return {
        round_trip: {way.name: tuple(milliseconds(way, rate, round_trip) for rate in rates()) for way in ways}
        for round_trip in ROUND_TRIPS_MS
    }


def crossing(one: Way, other: Way, round_trip_ms: float) -> Crossing:
    """Find the lowest rate at which the faster of two ways changes."""

    def gain(rate: float) -> float:
        return milliseconds(other, rate, round_trip_ms) - milliseconds(one, rate, round_trip_ms)

    first, second = (one, other) if gain(SLOWEST) >= 0 else (other, one)
    sign = 1 if first is one else -1
    rate = None
    for low, high in pairwise(rates()):
        if sign * gain(high) < 0:
            rate = _where(lambda each: sign * gain(each), low, high)
            break
    return Crossing(first=first.name, second=second.name, round_trip_ms=round_trip_ms, rate=rate)


def _where(function: Callable[[float], float], low: float, high: float) -> float:
    """Find by bisection, on a logarithmic scale, where a function falls below 0."""
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if function(middle) < 0 else (middle, high)
    return high
