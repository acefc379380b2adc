"""How long an answer takes on a link that was not measured: the model behind the curves.

    time = stages + round trip + transfer of what is sent + transfer of what is received

Stages are medians measured on loopback. A transfer goes in packets of up to 1,448 bytes, each with 66 bytes
of Ethernet, IP and TCP headers, on a connection that is open already. The first flight has ten packets
(RFC 6928); each further one twice as many, a round trip after the one before, or when that has left.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKET_BYTES = 1448
PACKET_HEADER_BYTES = 66
FIRST_FLIGHT = 10
SLOWEST, FASTEST = 1e4, 1e9
"""Bits a second."""
ROUND_TRIPS_MS = (1.0, 10.0, 50.0, 200.0)
_POINTS_A_DECADE = 8
_BISECTIONS = 40


class Way(BaseModel):
    """One way to an answer: its stages on the device and beyond, bytes that the socket sends and receives."""

    model_config = ConfigDict(frozen=True)

    name: str
    device_ms: float
    beyond_ms: float
    sent: float
    received: float

    def on_slower_device(self, times: float) -> Way:
        """Let the device take so many times as long."""
        return self.model_copy(update={"device_ms": times * self.device_ms})


class Curve(BaseModel):
    """Milliseconds from picture to answer, by rate, at one round trip."""

    model_config = ConfigDict(frozen=True)

    way: str
    round_trip_ms: float
    milliseconds: tuple[float, ...]


class Crossing(BaseModel):
    """Where two ways take equally long: bits a second; below, ``first`` is the faster one.

    ``rate``: None where one is the faster at every rate: then that one is ``first``.
    """

    model_config = ConfigDict(frozen=True)

    first: str
    second: str
    round_trip_ms: float
    rate: float | None


def rates() -> tuple[float, ...]:
    """List the rates of the curves, bits a second."""
    steps = round(math.log10(FASTEST / SLOWEST) * _POINTS_A_DECADE)
    return tuple(SLOWEST * 10 ** (step / _POINTS_A_DECADE) for step in range(steps + 1))


def milliseconds(way: Way, rate: float, round_trip_ms: float) -> float:
    """Predict the time from picture to answer; a way that sends nothing needs its stages only."""
    stages = way.device_ms + way.beyond_ms
    if not way.sent:
        return stages
    network = sum(transfer_ms(size, rate, round_trip_ms) for size in (way.sent, way.received))
    return stages + round_trip_ms + network


def transfer_ms(size: float, rate: float, round_trip_ms: float, allowance: float = 0.0) -> float:
    """Predict how long bytes take from the first one leaving to the last one having left.

    ``allowance``: bytes that the link lets pass at once.
    """
    packets = math.ceil(size / PACKET_BYTES)
    total = max(0.0, size + packets * PACKET_HEADER_BYTES - allowance)
    flight, waited = FIRST_FLIGHT, 0.0
    while packets > flight:
        leaving = _leaving_ms(flight * (PACKET_BYTES + PACKET_HEADER_BYTES), rate)
        waited += max(0.0, round_trip_ms - leaving)
        packets -= flight
        flight *= 2
    return waited + _leaving_ms(total, rate)


def curves(ways: Sequence[Way]) -> tuple[Curve, ...]:
    """Draw every way at every round trip over ``rates()``."""
    return tuple(
        Curve(
            way=way.name,
            round_trip_ms=round_trip,
            milliseconds=tuple(milliseconds(way, rate, round_trip) for rate in rates()),
        )
        for round_trip in ROUND_TRIPS_MS
        for way in ways
    )


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


def _leaving_ms(size: float, rate: float) -> float:
    return 8e3 * size / rate
