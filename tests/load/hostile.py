"""Malformed bodies, broken and slow connections, schemathesis: ``make hostile``."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx

from splitwire.models.training.fitting.progress import stage_progress
from tests.load.attacks import FAILED, break_connections, send_malformed
from tests.load.bound import end_within
from tests.load.connections import more_connections_than_room, out_of_descriptors, stopped_under_load
from tests.load.crowd import greedy_caller, large_frames, unfinished_frames
from tests.load.frames import real_frames, served_qualities
from tests.load.keys import endless_key_files, revoked_without_descriptors
from tests.load.report import Row, finish
from tests.load.smuggling import refused_in_words, smuggled_behind
from tests.processes import cloud_process

MINUTES = 4
"""When it ends, done or not."""
BODIES = 100_000
PARTS = 20
"""In how many parts they are sent: progress is shown after each."""
CONNECTIONS = 1_000
PATIENCE_SECONDS = 30
EXAMPLES = 300
_ALLOWED = {200, 400, 409, 413}
CASES: tuple[Callable[[], Row | list[Row]], ...] = (
    refused_in_words,
    lambda: smuggled_behind("nginx"),
    lambda: smuggled_behind("haproxy"),
    stopped_under_load,
    more_connections_than_room,
    out_of_descriptors,
    unfinished_frames,
    large_frames,
    greedy_caller,
    revoked_without_descriptors,
    endless_key_files,
)
"""Each attacks a cloud of its own."""


def run_schemathesis(url: str, examples: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Try the OpenAPI description of a running cloud: exit code 0 where no failure was found."""
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        "--config-file",
        "tests/load/schemathesis.toml",
    ]
    what = ["run", f"{url}/openapi.json", "--max-examples", str(examples), "--no-color", *options]
    return subprocess.run([*command, *what], capture_output=True, text=True, check=False)


def answers(url: str, frames: list[bytes]) -> list[str]:
    """Ask for the label of every frame's picture."""
    headers = {"Content-Type": "application/octet-stream"}
    return [
        httpx.post(f"{url}/infer", content=frame, headers=headers).json()["predictions"][0]["label"]
        for frame in frames
    ]


def main() -> None:
    """Attack a cloud, and see that it still gives the right answers."""
    end_within(MINUTES)
    frames = [frame for each in real_frames(served_qualities()).values() for frame in each]
    with (
        cloud_process("--log-level", "error") as cloud,
        asyncio.Runner() as runner,
        stage_progress() as progress,
    ):
        task = progress.add_task("hostile", total=PARTS + 2 + len(CASES), note=f"{BODIES:,} bodies")
        right = answers(cloud.url, frames)
        statuses: Counter[int] = Counter()
        for part in range(PARTS):
            statuses += runner.run(send_malformed(cloud.url, frames, BODIES // PARTS, seed=part))
            progress.update(task, advance=1)
        after_bodies = _count_same(right, answers(cloud.url, frames))
        progress.update(task, note=f"{CONNECTIONS:,} connections")
        endings = runner.run(break_connections(cloud.url, CONNECTIONS, PATIENCE_SECONDS))
        after_connections = _count_same(right, answers(cloud.url, frames))
        progress.update(task, advance=1, note="schemathesis")
        tried = run_schemathesis(cloud.url, EXAMPLES)
        progress.update(task, advance=1)
        written = cloud.stop()
        found: list[Row] = []
        for case in CASES:
            rows = case()
            found += [rows] if isinstance(rows, Row) else rows
            progress.update(task, advance=1, note=found[-1].name)
    if tried.returncode:
        sys.stderr.write(tried.stdout)
    generated = re.search(r"\d+ generated.*", tried.stdout)
    rows = [
        Row(
            name=f"{BODIES:,} malformed bodies: answers by status",
            value=", ".join(f"{status}: {count:,}" for status, count in sorted(statuses.items())),
            wanted="each answered, no 5xx",
            reached=statuses.total() == BODIES and statuses.keys() <= _ALLOWED,
        ),
        _right("right answers straight after", after_bodies, len(right)),
        Row(
            name=f"{CONNECTIONS:,} broken and slow connections: their ends",
            value=", ".join(f"{end}: {count}" for end, count in sorted(endings.items())),
            wanted=f"none open after {PATIENCE_SECONDS} s, no 5xx",
            reached=endings.total() == CONNECTIONS
            and not endings.keys() & {"still open", "not taken", FAILED},
        ),
        _right("right answers straight after", after_connections, len(right)),
        Row(
            name="schemathesis: test cases",
            value=generated.group() if generated else "none",
            wanted="no failure",
            reached=tried.returncode == 0,
        ),
        Row(
            name="failures in the cloud's log",
            value=str(len(written.splitlines())),
            wanted="0",
            reached=not written,
        ),
        *found,
    ]
    finish(
        "hostile",
        "malformed bodies, broken and slow connections, schemathesis, and what was tried in one hostile day",
        rows,
    )


def _count_same(labels: list[str], others: list[str]) -> int:
    return sum(label == other for label, other in zip(labels, others, strict=True))


def _right(name: str, count: int, of: int) -> Row:
    return Row(name=name, value=f"{count} of {of}", wanted="all", reached=count == of)


if __name__ == "__main__":
    main()
