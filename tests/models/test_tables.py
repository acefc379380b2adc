"""From counts to the tables of an arithmetic coder."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splitwire.models.training.frequency_tables import frequency_tables, integer_frequencies
from splitwire.shared.codecs.arithmetic import TOTAL, Table


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=300))
def test_any_weights_become_a_table_in_proportion(weights: list[float]) -> None:
    given_weights = np.array(weights)
    frequencies = integer_frequencies(given_weights)
    Table(frequencies.tolist())
    assert np.abs(frequencies - given_weights / given_weights.sum() * TOTAL).max() <= len(weights) + 1


def test_tables_reach_one_symbol_beyond_what_occurred() -> None:
    smallest, frequencies = frequency_tables(np.array([[0, -3], [0, 5], [0, 5]]))
    assert smallest.tolist() == [-1, -4]
    assert [np.trim_zeros(row, "b").size for row in frequencies] == [3, 11]
    assert frequencies[0].argmax() == 1
    assert frequencies[1].argmax() == 9
    assert (frequencies.sum(axis=1) == TOTAL).all()
