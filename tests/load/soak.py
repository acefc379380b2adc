"""100,000 requests in a row: ``make soak``."""

from __future__ import annotations

from splitwire.models.training.fitting.progress import stage_progress
from tests.load.bound import end_within
from tests.load.frames import real_frames, served_qualities
from tests.load.machine import cores, resident_mib
from tests.load.report import Row, finish
from tests.load.server import counts
from tests.load.wrk import Load, wrk
from tests.processes import CloudProcess, cloud_process

MINUTES = 4
"""When it ends, done or not."""
REQUESTS = 100_000
FIRST = 10_000
SLICE_SECONDS = 5
GROWTH = 0.05


def main() -> None:
    """Ask at 64 connections, in all qualities by turns, and watch the memory."""
    end_within(MINUTES)
    core, _ = cores()
    frames = [frame for some in zip(*real_frames(served_qualities()).values(), strict=True) for frame in some]
    with cloud_process(core=core) as cloud, stage_progress() as progress:
        task = progress.add_task("soak", total=REQUESTS, note="")
        loads: list[Load] = []
        early = 0.0
        while (done := _answered(cloud)) < REQUESTS:
            loads.append(wrk(cloud.url, frames, seconds=SLICE_SECONDS))
            memory = resident_mib(cloud.process.pid)
            if not early and done + loads[-1].requests >= FIRST:
                early = memory
            progress.update(task, completed=_answered(cloud), note=f"{memory:.0f} MiB")
        answers = counts(cloud).answers
        late = resident_mib(cloud.process.pid)
    total, fine = sum(answers.values()), answers.get(200, 0)
    rows = [
        Row(name="pictures a second", value=f"{total / sum(load.seconds for load in loads):,.0f}"),
        Row(
            name="requests and errors",
            value=f"{total:,} and {total - fine:,}",
            wanted=f"{REQUESTS:,} and 0",
            reached=total >= REQUESTS and total == fine,
        ),
        Row(
            name=f"resident memory after the first {FIRST:,} and at the end",
            value=f"{early:.0f} MiB, {late:.0f} MiB",
            wanted=f"under {GROWTH:.0%} more",
            reached=early > 0 and late < (1 + GROWTH) * early,
        ),
    ]
    finish("soak", f"{REQUESTS:,} requests at 64 connections, one picture a frame", rows)


def _answered(cloud: CloudProcess) -> int:
    return sum(counts(cloud).answers.values())


if __name__ == "__main__":
    main()
