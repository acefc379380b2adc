"""Twice what the cloud can do: ``make overload``."""

from __future__ import annotations

import asyncio
import os
from statistics import median
from typing import TYPE_CHECKING

import httpx
import uvloop

from splitwire.models.training.fitting.progress import stage_progress
from tests.load.bound import end_within
from tests.load.frames import real_frames
from tests.load.machine import cores, resident_mib
from tests.load.open_loop import Outcome, ask_at_rate
from tests.load.report import Row, finish
from tests.load.wrk import wrk
from tests.processes import CloudProcess, cloud_process

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = 3
"""When it ends, done or not."""
QUALITY = "int8"
CAPACITY_SECONDS = 15
SECONDS = 60
TIMES = 2
MEMORY_GROWTH = 0.05
RATE_TOLERANCE = 0.02


def main() -> None:
    """Measure the capacity, then ask for twice as much."""
    end_within(MINUTES)
    core, client_core = cores()
    frames = real_frames([QUALITY])[QUALITY]
    with (
        cloud_process(core=core) as cloud,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        stage_progress() as progress,
    ):
        task = progress.add_task("overload, seconds", total=SECONDS, note="the capacity first")
        wrk(cloud.url, frames, seconds=2)
        capacity = wrk(cloud.url, frames, seconds=CAPACITY_SECONDS)
        os.sched_setaffinity(0, {client_core})
        outcome, memory = runner.run(
            _overload(
                cloud,
                frames,
                TIMES * capacity.rate,
                lambda: progress.update(
                    task, advance=1, note=f"{TIMES * capacity.rate:,.0f} pictures a second"
                ),
            )
        )
    accepted, refused = outcome.statuses[httpx.codes.OK], outcome.statuses[httpx.codes.TOO_MANY_REQUESTS]
    early, late = median(memory[5:15]), median(memory[-10:])
    rows = [
        Row(name="capacity: pictures a second at 64 connections", value=f"{capacity.rate:,.0f}"),
        Row(name="99th percentile at capacity", value=f"{capacity.p99_ms:.0f} ms"),
        Row(
            name="sent, a second",
            value=f"{outcome.sent / outcome.seconds:,.0f}",
            wanted=f"{TIMES * capacity.rate:,.0f}, within {RATE_TOLERANCE:.0%}",
            reached=outcome.sent / outcome.seconds >= (1 - RATE_TOLERANCE) * TIMES * capacity.rate,
        ),
        Row(name="accepted, a second", value=f"{accepted / outcome.seconds:,.0f}"),
        Row(
            name="99th percentile of what was accepted",
            value=f"{outcome.p99_ms:.0f} ms",
            wanted=f"under {TIMES * capacity.p99_ms:.0f} ms",
            reached=outcome.p99_ms < TIMES * capacity.p99_ms,
        ),
        Row(
            name="answers other than 200, and 429 with Retry-After",
            value=f"{outcome.statuses.total() - accepted - refused + outcome.refused_for_ever}",
            wanted="0",
            reached=accepted + refused == outcome.statuses.total() and not outcome.refused_for_ever,
        ),
        Row(
            name="sent and never answered",
            value=f"{outcome.lost} of {outcome.sent:,}",
            wanted="0",
            reached=outcome.lost == 0,
        ),
        Row(
            name="resident memory, early and at the end",
            value=f"{early:.0f} MiB, {late:.0f} MiB",
            wanted=f"at most {MEMORY_GROWTH:.0%} more",
            reached=late <= (1 + MEMORY_GROWTH) * early,
        ),
    ]
    finish("overload", f"{TIMES} times the capacity for {SECONDS} s, {QUALITY}, one picture a frame", rows)


async def _overload(
    cloud: CloudProcess, frames: list[bytes], rate: float, second_passed: Callable[[], None]
) -> tuple[Outcome, list[float]]:
    memory: list[float] = []

    async def watch() -> None:
        while True:
            memory.append(resident_mib(cloud.process.pid))
            await asyncio.sleep(1)
            second_passed()

    watching = asyncio.create_task(watch())
    outcome = await ask_at_rate(cloud.url, frames, rate, SECONDS)
    watching.cancel()
    return outcome, memory


if __name__ == "__main__":
    main()
