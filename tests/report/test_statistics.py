"""Differences of shares, and spreads."""

from __future__ import annotations

import numpy as np
import pytest

from splitwire.report.statistics import difference, share_of, spread


def cells(both: int, first_only: int, second_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, first_only, second_only, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_the_difference_of_a_textbook() -> None:
    # Agresti, Categorical Data Analysis: approval of a prime minister, 1,600 people asked twice.
    found = difference(*cells(794, 150, 86, 570))
    assert found.value == pytest.approx(-0.04)
    assert (found.low, found.high) == pytest.approx((-0.059, -0.021), abs=5e-4)
    assert found.n == 1600


def test_equal_answers_differ_by_nothing_but_not_for_certain() -> None:
    found = difference(*cells(9, 0, 0, 1))
    assert found.value == 0
    assert -found.low == found.high == pytest.approx(1.959964 / 12)


def test_a_difference_is_never_beyond_one() -> None:
    found = difference(*cells(0, 20, 0, 0))
    assert (found.value, found.low) == (-1, -1)
    assert found.high < 0


def test_a_share_counts_what_is_true() -> None:
    found = share_of(np.array([True, True, False, True]))
    assert (found.value, found.n) == (0.75, 4)


def test_a_spread_is_median_and_95th_percentile() -> None:
    found = spread([float(value) for value in range(101)])
    assert (found.median, found.p95, found.n) == (50, 95, 101)
