"""Numbers and findings in words."""

from __future__ import annotations

import pytest

from splitwire.report.page import words
from splitwire.report.results import Crossing


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


def crossing(round_trip: float, rate: float | None, *, first: str = "split") -> Crossing:
    second = "picture" if first == "split" else "split"
    return Crossing(first=first, second=second, round_trip_ms=round_trip, rate=rate)


def said(*found: Crossing) -> list[str]:
    return [sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in words.crossings(found)]


def test_what_holds_for_all_round_trips_is_said_once() -> None:
    assert said(crossing(1, 123_456), crossing(50, 123_499)) == [
        "Split is answered sooner than picture below 120 kbit/s, whatever the round trip."
    ]


def test_what_differs_is_said_for_each_round_trip() -> None:
    (sentence,) = said(crossing(1, 2e6), crossing(50, None))
    assert sentence == (
        "Split is answered sooner than picture below 2 Mbit/s with a round trip of 1 ms, "
        "at every rate with a round trip of 50 ms."
    )


def test_ways_that_change_places_have_a_sentence_each() -> None:
    assert said(crossing(1, None, first="picture"), crossing(50, 2e6)) == [
        "Picture is answered sooner than split at every rate with a round trip of 1 ms.",
        "Split is answered sooner than picture below 2 Mbit/s with a round trip of 50 ms.",
    ]
