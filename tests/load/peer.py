"""The cloud beside LitServe with the same tail, the same client and the same cores: ``make peer``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING

import httpx

from splitwire.models.training.fitting.progress import stage_progress
from tests.load.bound import end_within
from tests.load.frames import real_frames
from tests.load.machine import cores
from tests.load.report import Row, finish
from tests.load.wrk import Load, wrk
from tests.processes import cloud_process, free_port, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTES = 5
"""When it ends, done or not."""
BATCH_TIMEOUTS = (0.0, 0.005, 0.02)
"""LitServe's batching settings, seconds to wait for a batch of 64; the best one counts."""
QUALITY = "int8"
ROUNDS = 3
SECONDS = 8
WANTED = 2.0


@contextmanager
def litserve_process(core: int, batch_timeout: float) -> Iterator[str]:
    """LitServe on a free port of loopback: its URL. Its processes are killed at the end."""
    port = free_port()
    command = [sys.executable, "-m", "tests.load.litserve_server", str(port), str(batch_timeout)]
    with subprocess.Popen(
        [*pinned(core), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(url)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_healthy(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{url}/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit("LitServe did not start")


def main() -> None:
    """Measure LitServe with each setting, then the cloud, three times."""
    end_within(MINUTES)
    core, _ = cores()
    frames = real_frames([QUALITY])[QUALITY]
    ours: list[Load] = []
    theirs: dict[float, list[Load]] = {timeout: [] for timeout in BATCH_TIMEOUTS}
    with stage_progress() as progress:
        task = progress.add_task("beside LitServe", total=ROUNDS * (len(BATCH_TIMEOUTS) + 1), note="")
        for _ in range(ROUNDS):
            for timeout in BATCH_TIMEOUTS:
                with litserve_process(core, timeout) as url:
                    theirs[timeout].append(_measured(url, frames))
                progress.update(task, advance=1)
            with cloud_process(core=core) as cloud:
                ours.append(_measured(cloud.url, frames))
            progress.update(task, advance=1)
    best = max(BATCH_TIMEOUTS, key=lambda timeout: _rate(theirs[timeout]))
    times, p99_ms, their_p99_ms = _rate(ours) / _rate(theirs[best]), _p99_ms(ours), _p99_ms(theirs[best])
    rows = [
        Row(name="the cloud: pictures a second", value=f"{_rate(ours):,.0f}"),
        *(
            Row(
                name=f"LitServe, batch_timeout {timeout:g} s: pictures a second",
                value=f"{_rate(theirs[timeout]):,.0f}",
            )
            for timeout in BATCH_TIMEOUTS
        ),
        Row(
            name="the cloud beside the best of them",
            value=f"{times:.2f} times",
            wanted=f"{WANTED:g} times",
            reached=times >= WANTED,
        ),
        Row(
            name="99th percentile, the best LitServe's beside it",
            value=f"{p99_ms:.0f} ms, {their_p99_ms:.0f} ms",
            wanted="lower",
            reached=p99_ms < their_p99_ms,
        ),
    ]
    finish("peer", f"LitServe {version('litserve')}, {QUALITY}, 64 connections, one picture a frame", rows)


def _measured(url: str, frames: list[bytes]) -> Load:
    wrk(url, frames, seconds=1)
    return wrk(url, frames, seconds=SECONDS)


def _rate(loads: list[Load]) -> float:
    return median(load.rate for load in loads)


def _p99_ms(loads: list[Load]) -> float:
    return median(load.p99_ms for load in loads)


if __name__ == "__main__":
    main()
