"""From latents to a codec's tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.shared.codecs.arithmetic import TOTAL, Table, integer_frequencies
from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.codecs.int8 import Int8
from splitwire.shared.errors import TensorInvalid


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=300))
def test_any_weights_become_a_table_in_proportion(weights: list[float]) -> None:
    given_weights = np.array(weights)
    frequencies = integer_frequencies(given_weights)
    Table(frequencies.tolist())
    assert np.abs(frequencies - given_weights / given_weights.sum() * TOTAL).max() <= len(weights) + 1


def test_tables_reach_one_symbol_beyond_what_occurred() -> None:
    tables = Factorised.fit(np.array([[0, -3.2], [0.4, 5], [-0.5, 5.1]], dtype=np.float32))
    assert tables["smallest"].tolist() == [-1, -4]
    assert [np.trim_zeros(row, "b").size for row in tables["frequencies"]] == [3, 11]
    assert tables["frequencies"].argmax(axis=1).tolist() == [1, 9]
    assert (tables["frequencies"].sum(axis=1) == TOTAL).all()


def test_scales_map_each_channels_largest_latent_to_the_largest_symbol() -> None:
    latents = np.array([[[[1.0]], [[-254.0]]], [[[-0.5]], [[127.0]]]], dtype=np.float32)
    assert np.allclose(Int8.fit(latents)["scales"], [1 / 127, 2.0])


@pytest.mark.parametrize(
    "scales", [None, np.ones(3), np.ones((4, 1)), np.array([1, 1, 0, 1.0]), np.array([1, 1, np.nan, 1])]
)
def test_scales_that_are_absent_or_unusable_are_refused(scales: np.ndarray | None) -> None:
    with pytest.raises(TensorInvalid, match="scales"):
        Int8.from_tables((4, 5, 5), {} if scales is None else {"scales": scales})


@pytest.mark.parametrize(
    ("smallest", "frequencies"), [([0], [[TOTAL - 1, 0]]), ([0, 0], [[TOTAL]]), ([[0]], [[TOTAL]])]
)
def test_tables_that_do_not_fit_are_refused(smallest: object, frequencies: object) -> None:
    tables = {"smallest": np.array(smallest), "frequencies": np.array(frequencies)}
    with pytest.raises(TensorInvalid):
        Factorised.from_tables((4, 5, 5), tables)
