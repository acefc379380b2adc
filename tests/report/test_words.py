"""Numbers and findings in words."""

from __future__ import annotations

import pytest

from report import words
from report.time_model import Crossing


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e4, "10 kbit/s"), (256e3, "256 kbit/s"), (1.5e6, "1.5 Mbit/s"), (1e9, "1 Gbit/s"), (999, "999 bit/s")],
)
def test_rates(value: float, text: str) -> None:
    assert words.rate(value).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0"), (-0.04, "0.0"), (0.7, "+0.7"), (-3.16, "\N{MINUS SIGN}3.2")]
)
def test_signed_numbers(value: float, text: str) -> None:
    assert words.signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "0.12 ms"), (3.456, "3.46 ms"), (34.56, "34.6 ms"), (345.6, "346 ms"), (5510, "5.5 s")],
)
def test_durations(value: float, text: str) -> None:
    assert words.duration(value).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(3206.0, "3,206"), (15.94, "15.9"), (16.0, "16"), (99.6, "99.6")]
)
def test_counts(value: float, text: str) -> None:
    assert words.count(value) == text


def crossing(round_trip: float, rate: float | None) -> Crossing:
    return Crossing(first="split", second="picture", round_trip_ms=round_trip, rate=rate)


def test_what_holds_for_all_round_trips_is_said_once() -> None:
    found = words.crossings([crossing(1, 123_456), crossing(50, 123_499)])
    assert found == {
        "split against picture": [
            "split below 120\N{NO-BREAK SPACE}kbit/s, picture above, whatever the round trip"
        ]
    }


def test_what_differs_is_said_for_each_round_trip() -> None:
    (findings,) = words.crossings([crossing(1, 2e6), crossing(50, None)]).values()
    assert findings == [
        "at a round trip of 1\N{NO-BREAK SPACE}ms split below 2\N{NO-BREAK SPACE}Mbit/s, picture above",
        "at a round trip of 50\N{NO-BREAK SPACE}ms split, at every rate",
    ]
