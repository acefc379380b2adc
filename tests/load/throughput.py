"""Pictures a second, and what bounds them: ``make throughput``."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from statistics import median

from splitwire.models.training.fitting.progress import stage_progress
from tests.load.bound import end_within
from tests.load.frames import real_frames, served_qualities
from tests.load.machine import cores
from tests.load.report import Row, finish
from tests.load.server import Counts, counts
from tests.load.wrk import wrk
from tests.processes import CloudProcess, cloud_process, pinned

MINUTES = 6
"""When it ends, done or not."""
ROUNDS = 3
SECONDS = 5
MANY = 8
WANTED = 0.8


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A quality's pictures a second, one figure a round."""

    served: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    idle_tail: list[float] = field(default_factory=list)

    def rows(self, quality: str, tails: dict[str, float]) -> list[Row]:
        """Write down medians, and the median of the rounds' shares of the lower ceiling; ``tails``: each alone."""
        fastest = max(tails, key=tails.__getitem__)
        share = median(
            served / min(idle_tail, tails[fastest])
            for served, idle_tail in zip(self.served, self.idle_tail, strict=True)
        )
        return [
            Row(name=f"{quality}: pictures a second", value=f"{median(self.served):,.0f}"),
            Row(name=f"{quality}: 99th percentile", value=f"{median(self.p99_ms):.0f} ms"),
            Row(name=f"{quality}: pictures a batch", value=f"{median(self.batch):.1f}"),
            Row(
                name=f"{quality}: ceiling, the server with an idle tail",
                value=f"{median(self.idle_tail):,.0f}",
            ),
            Row(
                name=f"{quality}: ceiling, the fastest tail alone at that batch: {fastest}",
                value=f"{tails[fastest]:,.0f}",
            ),
            Row(
                name=f"{quality}: share of the lower ceiling",
                value=f"{share:.0%}",
                wanted=f"{WANTED:.0%}",
                reached=share >= WANTED,
            ),
        ]


def main() -> None:
    """Measure every quality in turn: the server, the server with an idle tail, the tail alone."""
    end_within(MINUTES)
    core, _ = cores()
    qualities = served_qualities()
    frames, larger = real_frames(qualities), real_frames(qualities, MANY)
    rows: list[Row] = []
    with (
        cloud_process(core=core) as cloud,
        cloud_process(core=core, module="tests.load.idle_tail") as idle,
        stage_progress() as progress,
    ):
        task = progress.add_task("throughput", total=ROUNDS * len(qualities), note="")
        for quality in qualities:
            figures = Figures()
            for number in range(1, ROUNDS + 1):
                progress.update(task, note=f"{quality}, round {number} of {ROUNDS}")
                _measure(figures, cloud, idle, frames[quality])
                progress.update(task, advance=1)
            rows += figures.rows(quality, _tails_alone(quality, round(median(figures.batch)), core))
            rate = MANY * wrk(cloud.url, larger[quality], seconds=SECONDS).rate
            rows.append(Row(name=f"{quality}: pictures a second, {MANY} a frame", value=f"{rate:,.0f}"))
    finish("throughput", "64 connections, one picture a frame, one core serves and another asks", rows)


def _measure(figures: Figures, cloud: CloudProcess, idle: CloudProcess, frames: list[bytes]) -> None:
    wrk(cloud.url, frames, seconds=1)
    before = counts(cloud)
    load = wrk(cloud.url, frames, seconds=SECONDS)
    batch = _batch(before, counts(cloud))
    figures.served.append(load.rate)
    figures.p99_ms.append(load.p99_ms)
    figures.batch.append(batch)
    figures.idle_tail.append(wrk(idle.url, frames, seconds=SECONDS).rate)


def _batch(before: Counts, after: Counts) -> float:
    return (after.batched_pictures - before.batched_pictures) / (after.batches - before.batches)


def _tails_alone(quality: str, batch: int, core: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.tails", quality, str(batch), "1"]
    done = subprocess.run([*pinned(core), *command], capture_output=True, text=True, check=True, timeout=120)
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


if __name__ == "__main__":
    main()
