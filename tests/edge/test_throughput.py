"""``--quality auto`` follows the link: down at once, up again as soon as it is better."""

from __future__ import annotations

import pytest

from splitwire.edge.network.cost import OVERHEAD_BYTES
from splitwire.edge.network.throughput import Option, ThroughputEstimator

LADDER = [
    Option(name="paper", body_bytes=12_806, accuracy=0.91),
    Option(name="int8", body_bytes=3_206, accuracy=0.909),
    Option(name="q4", body_bytes=106, accuracy=0.907),
    Option(name="q1", body_bytes=14, accuracy=0.90),
]
SIZES = {option.name: option.body_bytes for option in LADDER}


class Shaped:
    """A link of so many bits a second and seconds of round trip, used with ``auto``."""

    def __init__(self, deadline: float) -> None:
        self.link = ThroughputEstimator()
        self.deadline = deadline

    def send(self, bits: float, round_trip: float) -> tuple[str, bool]:
        """Send one picture: the chosen quality, and whether its answer came in time."""
        choice = self.link.choose(LADDER, self.deadline)
        size = SIZES[choice.name] + OVERHEAD_BYTES
        seconds = round_trip + 8 * size / bits
        if seconds > self.deadline:
            self.link.late(size, self.deadline)
            return choice.name, False
        self.link.answered(size, seconds, round_trip)
        return choice.name, True


def best(bits: float, round_trip: float, deadline: float) -> str:
    """The most accurate quality that the link carries within 0.7 of the deadline."""
    fitting = [
        option.name
        for option in LADDER
        if round_trip + 8 * (option.body_bytes + OVERHEAD_BYTES) / bits <= 0.7 * deadline
    ]
    return fitting[0]


def test_the_first_picture_takes_the_smallest() -> None:
    choice = ThroughputEstimator().choose(LADDER, 1.0)
    assert choice.name == "q1"
    assert "not known" in choice.reason


@pytest.mark.parametrize("round_trip", [0.002, 0.05, 0.2])
def test_it_settles_on_the_best_that_fits_from_10_megabits_to_20_kilobits_and_back(round_trip: float) -> None:
    shaped = Shaped(deadline=1.0)
    for bits in (10e6, 1e6, 256e3, 64e3, 20e3, 64e3, 256e3, 1e6, 10e6):
        sent = [shaped.send(bits, round_trip) for _ in range(12)]
        assert [name for name, _ in sent[-4:]] == [best(bits, round_trip, 1.0)] * 4, f"at {bits:g} bit/s"
        assert sum(not in_time for _, in_time in sent) <= 2, "only the change itself may cost a deadline"


def test_a_dead_link_is_not_flooded() -> None:
    link = ThroughputEstimator()
    link.answered(14_000, 0.01, 0.0)
    for _ in range(6):
        link.late(500, 1.0)
    assert link.choose(LADDER, 1.0).name == "q1"


def test_a_link_that_was_dead_for_hours_is_found_again() -> None:
    link = ThroughputEstimator()
    for _ in range(2_000):
        link.late(500, 1.0)
    for _ in range(10):
        link.answered(14_000, 0.01, 0.0)
    assert link.choose(LADDER, 1.0).name != "q1"


def test_where_nothing_fits_the_smallest_is_tried_and_that_is_said() -> None:
    link = ThroughputEstimator()
    link.answered(400, 5.0, 0.1)
    choice = link.choose(LADDER, 0.5)
    assert choice.name == "q1"
    assert "none is expected to fit" in choice.reason
