"""Pictures and a folder that mean ill: load cases for ``make faults``."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.hostile_pictures import long_animation, many_scans, many_segments, webp_bomb
from tests.load.report import Row
from tests.processes import cloud_process
from tests.watched import put_picture, rows, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_BYTES = 1 << 30
GOOD = 20
PATIENCE_SECONDS = 60


def bombs_in_a_watched_folder(folder: Path, good: int = GOOD) -> Row:
    """Watch a folder of pictures with bombs before them, in 1 GiB of address space a process for data."""
    folder.mkdir(parents=True)
    bombs = {
        "0-webp": webp_bomb(),
        "1-scans": many_scans(20_000),
        "2-segments": many_segments(10_000_000),
        "3-animation": long_animation(700, 250),
        "4-program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n",
    }
    for name, data in bombs.items():
        (folder / f"{name}.jpg").write_bytes(data)
    for number in range(good):
        put_picture(folder / f"9-{number:02}.png", number)
    with cloud_process() as cloud:
        done = subprocess.run(
            [
                *_WATCH,
                folder,
                "--cloud",
                cloud.url,
                "--once",
                "--json",
                "--settle",
                "0.05",
                "--patience",
                "0.1",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES)),
        )
    found = states(folder)
    answered = sum(state == "answered" for state in found.values())
    refused = sum(bool(row["error"]) for row in rows(folder))
    lines = len(done.stdout.splitlines())
    return Row(
        name=f"edge-client watch in 1 GiB: {len(bombs)} picture bombs, {good} good pictures behind them",
        value=f"{answered} answered, {refused} refused, {lines} lines, exit code {done.returncode}",
        wanted="all good ones answered, each bomb one line, exit code 3",
        reached=(answered, refused, lines, done.returncode) == (good, len(bombs), good + len(bombs), 3),
    )


_WATCH = [sys.executable, "-m", "edge.cli", "watch"]
