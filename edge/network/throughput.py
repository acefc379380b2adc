"""How fast the link to the cloud is, and which quality suits it: ``--quality auto``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from splitwire.edge.network.cost import OVERHEAD_BYTES, throughput_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_CAREFUL = 0.7
"""The share of what is left that an exchange is allowed to be expected to take."""
_NEW = 0.5
"""The weight of the latest observation."""
_LEAST_SECONDS = 0.001
_LEAST_THROUGHPUT = 1.0
"""However long nothing is answered, a link can be found to be fast again."""


class Option(NamedTuple):
    """A quality to choose: mean body in bytes, and accuracy, 0 to 1."""

    name: str
    body_bytes: float
    accuracy: float


class Choice(NamedTuple):
    """The chosen quality, and why."""

    name: str
    reason: str


class ThroughputEstimator:
    """Round trip (seconds) and throughput (bytes a second), as observed."""

    def __init__(self) -> None:
        self.round_trip = 0.0
        self.throughput: float | None = None

    def answered(self, size: float, seconds: float, round_trip: float) -> None:
        """Learn from an exchange of ``size`` bytes.

        Args:
            size: both ways.
            seconds: it took, without the cloud's own time.
            round_trip: of the connection, seconds, as its socket knows it; 0 where it does not.

        """
        self.round_trip = round_trip
        rate = size / max(_LEAST_SECONDS, seconds - round_trip)
        if self.throughput is None:
            self.throughput = rate
        else:
            self.throughput *= math.exp(_NEW * math.log(rate / self.throughput))

    def late(self, size: float, seconds: float) -> None:
        """Learn from ``size`` bytes that brought no answer in ``seconds``."""
        rate = 0.5 * size / max(_LEAST_SECONDS, seconds)
        if self.throughput is not None:
            rate = min(rate, 0.5 * self.throughput)
        self.throughput = max(_LEAST_THROUGHPUT, rate)

    def carries(self, seconds: float) -> float | None:
        """Bytes that an exchange of ``seconds`` is expected to carry; None where nothing is known."""
        if self.throughput is None:
            return None
        return self.throughput * (seconds - self.round_trip)

    def choose(self, options: Sequence[Option], left: float) -> Choice:
        """Choose the most accurate quality that is expected to be answered in ``left`` seconds.

        Of equally accurate ones the smallest; where none fits, or nothing is known, the smallest of all.
        """
        smallest = min(options, key=lambda option: option.body_bytes)
        if self.throughput is None:
            return Choice(smallest.name, "the link is not known yet")
        for option in sorted(options, key=lambda option: (-option.accuracy, option.body_bytes)):
            size = OVERHEAD_BYTES + option.body_bytes
            seconds = throughput_seconds(size, self.throughput, self.round_trip)
            if seconds <= _CAREFUL * left:
                expected = f"{1e3 * seconds:.0f} of {1e3 * left:.0f} ms expected"
                return Choice(option.name, f"the most accurate that fits: {expected}")
        return Choice(smallest.name, f"none is expected to fit in {1e3 * left:.0f} ms")
