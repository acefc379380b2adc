"""How fast the link to the cloud is, and which quality suits it: ``--quality auto``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(frozen=True, kw_only=True)
class Option:
    """A quality to choose: mean body in bytes, and accuracy, 0 to 1."""

    name: str
    body_bytes: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Choice:
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

    def expected(self, size: float) -> float | None:
        """Seconds that an exchange will take; None where nothing is known."""
        if self.throughput is None:
            return None
        return throughput_seconds(size, self.throughput, self.round_trip)

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
        if self.expected(0) is None:
            return Choice(name=smallest.name, reason="the link is not known yet")
        for option in sorted(options, key=lambda option: (-option.accuracy, option.body_bytes)):
            seconds = self.expected(OVERHEAD_BYTES + option.body_bytes) or 0.0
            if seconds <= _CAREFUL * left:
                return Choice(
                    name=option.name,
                    reason=f"the most accurate that fits: {1e3 * seconds:.0f} of {1e3 * left:.0f} ms expected",
                )
        return Choice(name=smallest.name, reason=f"none is expected to fit in {1e3 * left:.0f} ms")
