"""Pictures that mean ill, an outbox that goes away, and what a killed device leaves: for ``make faults``."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.hostile_pictures import long_animation, many_scans, many_segments, webp_bomb
from tests.load.bound import PATIENCE_SECONDS, wait_until
from tests.load.report import Row
from tests.processes import cloud_process
from tests.watched import put_picture, rows, states

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_BYTES = 1 << 30
GOOD = 10
_QUICK = ("--settle", "0.05", "--patience", "0.1")


def bombs_in_a_watched_folder(folder: Path) -> Row:
    """Watch a folder with bombs before its pictures, in 1 GiB for each process."""
    folder.mkdir()
    bombs = {
        "webp": webp_bomb(),
        "scans": many_scans(20_000),
        "segments": many_segments(10_000_000),
        "animation": long_animation(650, 250),
        "program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n",
    }
    for name, data in bombs.items():
        (folder / f"{name}.jpg").write_bytes(data)
    for number in range(GOOD):
        put_picture(folder / f"{number:02}.png", number)
    with (
        cloud_process() as cloud,
        tempfile.TemporaryFile("w+") as output,
        _watching(folder, output, "--cloud", cloud.url, "--once", "--json", *_QUICK) as watching,
    ):
        code = watching.wait(PATIENCE_SECONDS)
        output.seek(0)
        lines = len(output.readlines())
    answered = list(states(folder).values()).count("answered")
    refused = sum(row["error"] is not None for row in rows(folder))
    return Row(
        name=f"edge-client watch in 1 GiB, {len(bombs)} hostile pictures before {GOOD} good ones",
        value=f"{answered} answered, {refused} refused, {lines} lines, exit code {code}",
        wanted="every good one answered, every other one refused, a line each, exit code 3",
        reached=(answered, refused, lines, code) == (GOOD, len(bombs), GOOD + len(bombs), 3),
    )


def deleted_outbox(folder: Path) -> Row:
    """Delete the outbox under a running ``edge-client watch``."""
    put_picture(folder / "a.png", 0)
    with (
        cloud_process() as cloud,
        tempfile.TemporaryFile("w+") as output,
        _watching(folder, output, "--cloud", cloud.url, "--json", *_QUICK, errors=True) as watching,
    ):
        wait_until(lambda: _states(folder) == {"a.png": "answered"})
        (folder / ".splitwire.sqlite").unlink()
        put_picture(folder / "b.png", 1)
        deleted = time.monotonic()
        code = watching.wait(PATIENCE_SECONDS)
        seconds = time.monotonic() - deleted
        output.seek(0)
        lines = output.read().splitlines()
    return Row(
        name="edge-client watch, its outbox deleted",
        value=f"exit code {code} after {seconds:.1f} s: {lines[-1].replace(str(folder), '...')}",
        wanted="exit code 9 and one line; a second, and the time to stop",
        reached=code == 9 and len(lines) == 2 and seconds < 5,
    )


def killed_leaves_nothing(folder: Path, kills: int = 5) -> Row:
    """Kill the device at its start and while it decodes; nothing stays in the temporary folder, no process either."""
    temporary = folder / "temporary"
    temporary.mkdir(parents=True)
    picture = folder / "slow.jpg"
    picture.write_bytes(many_scans(20_000))
    command = [
        sys.executable,
        "-m",
        "splitwire.edge.commands.cli",
        "classify",
        str(picture),
        "--cloud",
        "http://127.0.0.1:9",
    ]
    for kill in range(kills):
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(temporary)}
        ) as process:
            time.sleep(0.5 + 0.5 * kill)
            process.kill()
    wait_until(lambda: not _decoding(temporary))
    left = sum(1 for _ in temporary.rglob("*"))
    return Row(
        name=f"edge-client classify, killed {kills} times",
        value=f"{left} files in the temporary folder, {len(_decoding(temporary))} processes",
        wanted="nothing left",
        reached=left == 0,
    )


@contextmanager
def _watching(
    folder: Path, output: IO[str], *options: str, errors: bool = False
) -> Iterator[subprocess.Popen[str]]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))

    command = [sys.executable, "-m", "splitwire.edge.commands.cli", "watch", str(folder), *options]
    with subprocess.Popen(
        command,
        stdout=output,
        stderr=output if errors else subprocess.DEVNULL,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509 - there is one thread here
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _decoding(temporary: Path) -> list[int]:
    """The processes that decode for a device with that temporary folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            if f"TMPDIR={temporary}".encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
    return found


def _states(folder: Path) -> dict[str, str]:
    try:
        return states(folder)
    except sqlite3.OperationalError:  # there is no outbox yet
        return {}
