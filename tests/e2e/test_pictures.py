"""A device that is killed, or whose record goes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.load.pictures import deleted_record, killed_leaves_nothing

if TYPE_CHECKING:
    from pathlib import Path


def test_a_killed_device_leaves_neither_files_nor_processes(tmp_path: Path) -> None:
    row = killed_leaves_nothing(tmp_path / "pictures", kills=2)
    assert row.reached, row.value


def test_a_watcher_whose_record_is_deleted_ends_with_its_exit_code(tmp_path: Path) -> None:
    row = deleted_record(tmp_path / "pictures")
    assert row.reached, row.value
