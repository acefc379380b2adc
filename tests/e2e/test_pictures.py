"""A device that is killed, by a picture or otherwise, or whose outbox goes away."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.load.pictures import deleted_outbox, killed_leaves_nothing
from tests.watched import put_picture, rows, states

if TYPE_CHECKING:
    from pathlib import Path

KILLED_BY_A_PICTURE = """
import os, signal, sys
from splitwire.edge.commands import entry
from splitwire.edge.compute import picture_decoder as decoder
decode = decoder.PictureDecoder.__call__
def deadly(self, source, name, side, seconds):
    if name.endswith("deadly.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(self, source, name, side, seconds)
decoder.PictureDecoder.__call__ = deadly
entry.main()
"""


def test_a_picture_that_kills_the_watcher_does_so_twice_and_the_others_are_answered(
    tmp_path: Path, cloud_url: str
) -> None:
    folder = tmp_path / "pictures"
    for seed, name in enumerate(("deadly.png", "a.png", "b.png")):
        put_picture(folder / name, seed)
    options = ["--cloud", cloud_url, "--once", "--json", "--settle", "0.05", "--patience", "0.1"]
    command = [sys.executable, "-c", KILLED_BY_A_PICTURE, "watch", str(folder), *options]
    ends = [subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(4)]
    assert [done.returncode for done in ends] == [-signal.SIGKILL, -signal.SIGKILL, 3, 0]
    assert states(folder) == {"deadly.png": "set aside", "a.png": "answered", "b.png": "answered"}
    (error,) = [row["error"] for row in rows(folder) if row["error"]]
    assert ends[2].stderr == f"error: {error}\n"
    assert "ended this program 2 times" in error


@pytest.mark.slow
def test_a_killed_device_leaves_neither_files_nor_processes(tmp_path: Path) -> None:
    row = killed_leaves_nothing(tmp_path / "pictures", kills=2)
    assert row.reached, row.value


def test_a_watcher_whose_outbox_is_deleted_ends_with_its_exit_code(tmp_path: Path) -> None:
    row = deleted_outbox(tmp_path / "pictures")
    assert row.reached, row.value
