"""What one part costs, measured in a process of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from splitwire.report.measure import footprint
from splitwire.report.measure.footprint import BACK, PARTS, PUBLISHED, measure, measure_all
from splitwire.shared.errors import SettingsError
from tests.report.threads import blas_threads

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_wide_classifier_is_larger_and_slower_than_a_compact_one(bundle_path: Path) -> None:
    steps: list[int] = []
    costs = measure_all(bundle_path, (BACK, PUBLISHED), steps.append)
    compact, wide = costs[BACK], costs[PUBLISHED]
    assert (compact.parameters, wide.parameters) == (13_113_354, 119_586_826)
    assert steps == [1, 1]
    if sys.platform == "linux":
        assert compact.resident_bytes is not None
        assert wide.resident_bytes is not None
        assert compact.resident_bytes >= 0.95 * 4 * compact.parameters
        assert wide.resident_bytes >= 0.95 * 4 * wide.parameters


@pytest.mark.parametrize(
    ("part", "parameters"), list(zip(PARTS[1:4], (311_808, 66_954, 312_192), strict=True))
)
def test_small_parts_are_counted(bundle_path: Path, part: str, parameters: int) -> None:
    cost = measure(part, bundle_path)
    assert cost.parameters == parameters
    assert cost.milliseconds.median > 0


def test_numpy_computes_with_one_thread_as_on_a_device(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    monkeypatch.setattr(footprint, "_built", lambda *_: (0, lambda: threads.update(blas_threads())))
    measure(PARTS[0], bundle_path)
    assert threads == {1}


def test_an_unknown_part_is_refused(bundle_path: Path) -> None:
    with pytest.raises(SettingsError, match="choose one of network before the cut"):
        measure("engine", bundle_path)
    with pytest.raises(SettingsError, match="choose one of network before the cut"):
        measure_all(bundle_path, ("engine",), lambda _: None)
