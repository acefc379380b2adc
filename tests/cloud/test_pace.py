"""The measured pace."""

from __future__ import annotations

from splitwire.cloud.inference.batcher import Pace


def test_nothing_measured_means_a_second() -> None:
    assert Pace().whole_seconds(1000) == 1


def test_seconds_are_rounded_up_and_never_none() -> None:
    pace = Pace()
    pace.add(10, 1.0)
    assert [pace.whole_seconds(pictures) for pictures in (0, 1, 10, 11, 512)] == [1, 1, 1, 2, 52]


def test_large_batches_count_more_and_old_ones_fade() -> None:
    pace = Pace()
    for _ in range(20):
        pace.add(1, 0.1)
    before = pace.whole_seconds(1000)
    for _ in range(3):
        pace.add(64, 0.64)
    assert before == 100
    assert 10 <= pace.whole_seconds(1000) <= 15
