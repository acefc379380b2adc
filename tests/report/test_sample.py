"""Which pictures are measured."""

from __future__ import annotations

import numpy as np
import pytest

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.pictures import CLASS_ORDER, Pictures
from splitwire.report.sample import spread_sample, take_sample

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


def test_pictures_that_decide_are_at_least_2000_and_hold_the_surveyed_ones() -> None:
    labels = np.repeat(np.arange(10), 500)
    pictures = Pictures(
        classes=CLASS_ORDER, names=("",) * len(labels), labels=labels, files=(b"",) * len(labels)
    )
    sample = take_sample(pictures, limit=None, seed=0)
    assert len(sample.deciding) >= 2000
    assert set(sample.coded) < set(sample.deciding)


def test_more_than_there_are_says_how_many_there_are() -> None:
    with pytest.raises(TrainingError, match="use 1 to 500"):
        spread_sample(LABELS, 501, seed=0)


def test_small_classes_give_all_they_have() -> None:
    labels = np.repeat(np.arange(3), [2, 10, 30])
    assert np.bincount(labels[spread_sample(labels, 20, seed=0)]).tolist() == [2, 9, 9]
    assert np.bincount(labels[spread_sample(labels, 41, seed=0)]).tolist() == [2, 10, 29]
