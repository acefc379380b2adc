"""The model of time, on numbers that can be worked out by hand."""

from __future__ import annotations

import pytest

from splitwire.report.page.time_model import crossing, curves, milliseconds, rates
from splitwire.report.results import Way


def way(name: str, device: float, beyond: float, sent: float, received: float = 0.0) -> Way:
    return Way(name=name, device_ms=device, beyond_ms=beyond, sent=sent, received=received)


def test_an_exchange_takes_phases_round_trip_and_both_transfers() -> None:
    found = milliseconds(way("split", 7, 3, sent=434, received=34), rate=4000, round_trip_ms=50)
    assert found == pytest.approx(10 + 50 + 1000 + 200)


def test_what_sends_nothing_needs_no_link() -> None:
    assert milliseconds(way("alone", 7, 0, sent=0), rate=1, round_trip_ms=1e6) == 7


def test_two_ways_cross_where_bytes_and_phases_outweigh_each_other() -> None:
    # 1,000 bytes fewer are worth 10 ms at 800 kbit/s.
    small, large = way("small", 20, 0, sent=100), way("large", 10, 0, sent=1100)
    found = crossing(large, small, round_trip_ms=50)
    assert (found.first, found.second) == ("small", "large")
    assert found.rate == pytest.approx(800e3, rel=1e-6)


def test_ways_that_do_not_cross_name_the_faster_first() -> None:
    small, large = way("small", 5, 0, sent=100), way("large", 10, 0, sent=1100)
    for one, other in ((small, large), (large, small)):
        found = crossing(one, other, round_trip_ms=1)
        assert (found.first, found.second, found.rate) == ("small", "large", None)


def test_a_slower_device_takes_its_phases_times_as_long() -> None:
    slower = way("split", 20, 3, sent=100).on_slower_device(3)
    assert (slower.device_ms, slower.beyond_ms) == (60, 3)


def test_curves_reach_from_10_kbit_to_1_gbit() -> None:
    drawn = curves([way("split", 7, 3, sent=434, received=34)])
    assert (rates()[0], rates()[-1]) == pytest.approx((1e4, 1e9))
    assert drawn.keys() == {1, 10, 50, 200}
    assert all(len(each["split"]) == len(rates()) for each in drawn.values())
    assert drawn[1]["split"] == tuple(sorted(drawn[1]["split"], reverse=True))
