"""Pictures a second, and what bounds them: ``make throughput``, of another bundle ``make throughput BUNDLE=path``."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.bundle import default_bundle_path, load_manifest
from tests.bench.tails import BARE, PACKED
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
        """Write down medians, and the median of the rounds' shares of the lower ceiling.

        ``tails``: each alone. The fastest counts; of networks whose tail can't be packed, the fastest of torch's own.
        """
        if PACKED not in tails:
            tails = {name: rate for name, rate in tails.items() if name in BARE}
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
    bundle = Path(sys.argv[1]) if len(sys.argv) > 1 else default_bundle_path()
    qualities, options = served_qualities(bundle), ("--bundle", str(bundle))
    frames, larger = real_frames(qualities, path=bundle), real_frames(qualities, MANY, bundle)
    rows: list[Row] = []
    with (
        cloud_process(*options, core=core) as cloud,
        cloud_process(*options, core=core, module="tests.load.idle_tail") as idle,
        stage_progress() as progress,
    ):
        task = progress.add_task("throughput", total=ROUNDS * len(qualities), note="")
        for quality in qualities:
            figures = Figures()
            for number in range(1, ROUNDS + 1):
                progress.update(task, note=f"{quality}, round {number} of {ROUNDS}")
                _measure(figures, cloud, idle, frames[quality])
                progress.update(task, advance=1)
            tails = _tails_alone(bundle, quality, round(median(figures.batch)), core)
            rows += figures.rows(quality, tails)
            rate = MANY * wrk(cloud.url, larger[quality], seconds=SECONDS).rate
            rows.append(Row(name=f"{quality}: pictures a second, {MANY} a frame", value=f"{rate:,.0f}"))
    name = "throughput" if bundle == default_bundle_path() else f"throughput-{load_manifest(bundle).id}"
    finish(name, "64 connections, one picture a frame, one core serves and another asks", rows)


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


def _tails_alone(bundle: Path, quality: str, batch: int, core: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.tails", quality, str(batch), "1", str(bundle)]
    done = subprocess.run([*pinned(core), *command], capture_output=True, text=True, check=True, timeout=120)
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


if __name__ == "__main__":
    main()
