"""A watched folder with real processes: ended at any moment, and through outages."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.processes import free_port, running_cloud
from tests.watched import put_picture, rows, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PICTURES = 16
KILLS = 12


@contextmanager
def watcher(folder: Path, cloud: str, output: Path, *options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A real ``edge-client watch`` process; standard output and error are appended to files."""
    command = [
        sys.executable,
        "-m",
        "splitwire.edge.commands.cli",
        "watch",
        folder,
        "--cloud",
        cloud,
        "--json",
        "--settle",
        0.05,
    ]
    errors = output.with_suffix(".errors")
    with (
        output.open("ab") as out,
        errors.open("ab") as err,
        subprocess.Popen([*map(str, command), *map(str, options)], stdout=out, stderr=err) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def until_changed(folder: Path) -> None:
    before = progress(folder)
    until(lambda: progress(folder) != before)


def said(output: Path) -> dict[str, set[str]]:
    """What was printed of each picture: name -> labels."""
    labels: dict[str, set[str]] = {}
    for line in output.read_text().splitlines():
        record: dict[str, Any] = json.loads(line)
        assert record["error"] is None
        labels.setdefault(Path(record["path"]).name, set()).add(record["label"])
    return labels


def progress(folder: Path) -> Counter[str]:
    """How many pictures are in each state; none where there is no record yet."""
    try:
        return Counter(states(folder).values())
    except sqlite3.OperationalError:
        return Counter()


@pytest.mark.slow
def test_killed_at_any_moment_every_picture_ends_with_exactly_one_answer(
    cloud_url: str, tmp_path: Path
) -> None:
    moments = np.random.default_rng(6)
    folder, output = tmp_path / "pictures", tmp_path / "output"
    put = 0
    for kill in range(KILLS):
        for _ in range(1 if kill % 3 else 2):
            put_picture(folder / f"{put:02}.png", put)
            put += 1
        with watcher(folder, cloud_url, output) as process:
            if kill % 4:  # when it has something to lose; otherwise at its start
                until_changed(folder)
            time.sleep(moments.uniform(0, 0.2 if kill % 4 else 2))
            assert process.poll() is None
        assert process.returncode == -signal.SIGKILL
    assert put == PICTURES
    with watcher(folder, cloud_url, output, "--once") as process:
        assert process.wait(60) == 0
    assert states(folder) == {f"{number:02}.png": "answered" for number in range(PICTURES)}
    assert rows(folder, "SELECT count(*) AS n FROM pictures") == [{"n": PICTURES}]
    answers = {Path(row["path"]).name: {row["label"]} for row in rows(folder)}
    assert said(output) == answers
    assert output.with_suffix(".errors").read_text() == ""


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_stopped_by_a_signal_it_ends_cleanly(
    cloud_url: str, tmp_path: Path, ending: signal.Signals, code: int
) -> None:
    put_picture(tmp_path / "pictures" / "a.png", 1)
    with watcher(tmp_path / "pictures", cloud_url, tmp_path / "output") as process:
        until(lambda: progress(tmp_path / "pictures") == {"answered": 1})
        process.send_signal(ending)
        assert process.wait(10) == code
    assert (tmp_path / "output.errors").read_text() == ""
    assert said(tmp_path / "output").keys() == {"a.png"}


@pytest.mark.slow
def test_pictures_wait_while_the_cloud_is_away_and_are_answered_when_it_is_back(tmp_path: Path) -> None:
    folder, output, port = tmp_path / "pictures", tmp_path / "output", str(free_port())
    errors = output.with_suffix(".errors")
    put_picture(folder / "before.png", 0)
    with ExitStack() as stack:
        with running_cloud("--port", port) as url:
            process = stack.enter_context(watcher(folder, url, output, "--deadline-ms", 1000))
            until(lambda: progress(folder) == {"answered": 1})
        for number in range(3):
            put_picture(folder / f"during{number}.png", 1 + number)
        until(lambda: "pictures wait" in errors.read_text())
        until(lambda: progress(folder) == {"answered": 1, "waiting": 3})
        with running_cloud("--port", port):
            until(lambda: progress(folder) == {"answered": 4})
            put_picture(folder / "after.png", 9)
            until(lambda: progress(folder) == {"answered": 5})
        process.terminate()
        assert process.wait(10) == 0
    assert len(said(output)) == 5
    began, ended = errors.read_text().splitlines()
    assert began.startswith(f"cloud {url}: ")
    assert ended == "the cloud answers again"
