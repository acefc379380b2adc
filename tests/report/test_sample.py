"""Which pictures are measured."""

from __future__ import annotations

import numpy as np
import pytest

from splitwire.models.errors import TrainingError
from splitwire.report.sample import spread_sample

LABELS = np.repeat(np.arange(10), 50)


@pytest.mark.parametrize("count", [1, 10, 25, 200, 500])
def test_every_class_has_as_many_or_one_more(count: int) -> None:
    chosen = spread_sample(LABELS, count, seed=0)
    by_class = np.bincount(LABELS[chosen], minlength=10)
    assert len(set(chosen.tolist())) == count
    assert by_class.max() - by_class.min() <= 1


def test_the_seed_decides_and_a_larger_sample_holds_the_smaller() -> None:
    small, again, other = (spread_sample(LABELS, 25, seed) for seed in (0, 0, 1))
    assert np.array_equal(small, again)
    assert not np.array_equal(small, other)
    assert set(small) <= set(spread_sample(LABELS, 60, seed=0))


def test_more_than_there_are_says_how_many_there_are() -> None:
    with pytest.raises(TrainingError, match="use 1 to 500"):
        spread_sample(LABELS, 501, seed=0)
