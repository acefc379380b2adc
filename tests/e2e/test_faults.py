"""In seconds what `make faults` does in minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.load.faults import (
    DAMAGES,
    damaged_bundle,
    full_disk,
    killed_while_classifying,
    killed_while_watching,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.load.report import Row


def held(row: Row) -> bool:
    assert row.reached, f"{row.name}: {row.value}, but wanted {row.wanted}"
    return row.reached


@pytest.mark.slow
def test_a_cloud_killed_under_a_watched_folder_loses_no_picture(tmp_path: Path) -> None:
    assert held(killed_while_watching(tmp_path, pictures=20, kills=1))


@pytest.mark.slow
def test_a_cloud_killed_under_a_command_loses_no_picture(tmp_path: Path) -> None:
    assert held(killed_while_classifying(tmp_path, pictures=20))


def test_a_full_disk_for_the_log_stops_nothing() -> None:
    assert held(full_disk(requests=20))


@pytest.mark.parametrize(("side", "name", "damage"), DAMAGES)
def test_a_damaged_bundle_is_refused_in_one_line(tmp_path: Path, side: str, name: str, damage: str) -> None:
    assert held(damaged_bundle(tmp_path, side, name, damage))
