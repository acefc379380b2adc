"""The cost model of links, on numbers that can be worked out by hand."""

from __future__ import annotations

import pytest

from splitwire.edge.network.cost import link_seconds, throughput_seconds, transfer_seconds


def test_a_throughput_has_all_in_it_but_the_round_trip() -> None:
    assert throughput_seconds(400, throughput=1000, round_trip=0.05) == pytest.approx(0.45)


def test_a_packet_takes_its_bytes_and_its_headers() -> None:
    assert transfer_seconds(434, rate=4000, round_trip=0) == pytest.approx(8 * 500 / 4000)


def test_what_the_link_lets_pass_at_once_takes_no_time() -> None:
    assert transfer_seconds(434, rate=4000, round_trip=0, let_pass=250) == pytest.approx(0.5)
    assert transfer_seconds(434, rate=4000, round_trip=0, let_pass=501) == 0


def test_ten_packets_go_at_once_and_the_eleventh_after_a_round_trip() -> None:
    fast = 1e12
    assert transfer_seconds(10 * 1448, fast, round_trip=0.1) == pytest.approx(0, abs=1e-6)
    assert transfer_seconds(10 * 1448 + 1, fast, round_trip=0.1) == pytest.approx(0.1, abs=1e-6)
    assert transfer_seconds(30 * 1448, fast, round_trip=0.1) == pytest.approx(0.1, abs=1e-6)
    assert transfer_seconds(30 * 1448 + 1, fast, round_trip=0.1) == pytest.approx(0.2, abs=1e-6)


def test_on_a_slow_link_acknowledgements_are_there_before_they_are_waited_for() -> None:
    size = 20 * 1448
    assert transfer_seconds(size, rate=1e4, round_trip=0.1) == pytest.approx(8 * 20 * 1514 / 1e4)


def test_an_exchange_takes_a_round_trip_and_both_transfers() -> None:
    assert link_seconds(434, 34, rate=4000, round_trip=0.05) == pytest.approx(0.05 + 1 + 0.2)
    assert link_seconds(434, 34, rate=4000, round_trip=0.05, let_pass=1600) == pytest.approx(0.05 + 1)
