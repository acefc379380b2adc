"""Callers that want more than there is: unfinished large frames, large frames by the hundred, one greedy caller."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import quantiles

import httpx
import numpy as np

from splitwire.shared.bundle import default_bundle_path, load_bundle
from tests.cloud.application import frame_of
from tests.load.asking import Asker
from tests.load.machine import cores, forget_most_resident, most_resident_mib
from tests.load.report import Row
from tests.load.wrk import wrk
from tests.processes import CloudProcess, cloud_process

UNFINISHED = 1_000
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 41)]
POLITE = "127.0.0.2"
SECONDS = 6
MEMORY_MIB = 160
"""64 of bodies, and what 1,000 connections take."""
_HEAD = b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"


def frames_of(quality: str, pictures: int, count: int = 1) -> list[bytes]:
    """Make frames of made-up pictures."""
    bundle = load_bundle(default_bundle_path(), "device")
    rng = np.random.default_rng(0)
    return [
        frame_of(bundle, list(rng.normal(size=(pictures, 128, 5, 5)).astype(np.float32)), quality)
        for _ in range(count)
    ]


@dataclass(kw_only=True)
class Served:
    """What one caller got: answers by status (0: none), and the seconds that those with 200 took."""

    statuses: Counter[int] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)

    def row(self, name: str) -> Row:
        """Say that each was answered, and when."""
        p99 = (
            f", 99th percentile {1e3 * quantiles(self.waited, n=100)[98]:.0f} ms"
            if len(self.waited) > 1
            else ""
        )
        return Row(
            name=name,
            value=f"{self.statuses[httpx.codes.OK]:,} of {self.statuses.total():,} answered{p99}",
            wanted="all",
            reached=self.statuses.keys() == {httpx.codes.OK},
        )


async def ask_on(asker: Asker, frames: list[bytes], end: float, served: Served, pause: float = 0.0) -> None:
    """Ask one thing after the other until then, whatever the answers are."""
    number = 0
    while time.monotonic() < end:
        number += 1
        started, status = time.monotonic(), 0
        with suppress(OSError, asyncio.IncompleteReadError):
            status = (await asker.infer(frames[number % len(frames)])).status
        served.statuses[status] += 1
        if status == httpx.codes.OK:
            served.waited.append(time.monotonic() - started)
        await asyncio.sleep(pause)


def unfinished_frames() -> list[Row]:
    """Leave 1,000 large frames without their last byte, from 40 addresses, while somebody asks politely."""
    (large,) = frames_of("paper", 64)
    small = frames_of("int8", 1, 16)
    with cloud_process() as cloud:
        asyncio.run(_ask_once(cloud, large))
        forget_most_resident(cloud.process.pid)
        idle = most_resident_mib(cloud.process.pid)
        endings, polite = asyncio.run(_unfinished(cloud, large[:-1], small))
        most = most_resident_mib(cloud.process.pid)
    return [
        Row(
            name=f"{UNFINISHED:,} unfinished frames of {len(large):,} bytes: their answers",
            value=", ".join(f"{status or 'none'}: {count}" for status, count in sorted(endings.items())),
            wanted="most 429 at once, no 5xx",
            reached=endings[429] > UNFINISHED / 2 and not any(status >= 500 for status in endings),
        ),
        Row(
            name="memory that they take beyond that of the idle cloud",
            value=f"{most - idle:.0f} MiB",
            wanted=f"at most {MEMORY_MIB} MiB",
            reached=most - idle <= MEMORY_MIB,
        ),
        polite.row("a polite caller meanwhile, one picture a frame"),
    ]


async def _ask_once(cloud: CloudProcess, frame: bytes) -> None:
    asker = Asker(url=httpx.URL(cloud.url))
    await asker.infer(frame)
    asker.close()


async def _unfinished(cloud: CloudProcess, body: bytes, small: list[bytes]) -> tuple[Counter[int], Served]:
    url, polite = httpx.URL(cloud.url), Served()
    asker, end = Asker(url=url, address=POLITE), time.monotonic() + SECONDS

    async def leave(address: str) -> int:
        reader, writer = await asyncio.open_connection(url.host, url.port, local_addr=(address, 0))
        try:
            writer.write(_HEAD % (len(body) + 1) + body)
            async with asyncio.timeout(max(0.1, end - time.monotonic())):
                return int((await reader.readline()).split()[1])
        except (OSError, TimeoutError, IndexError):
            return 0
        finally:
            writer.transport.abort()

    asking = asyncio.create_task(ask_on(asker, small, end, polite, pause=0.02))
    leaving = (leave(ADDRESSES[number % len(ADDRESSES)]) for number in range(UNFINISHED))
    endings = Counter(await asyncio.gather(*leaving))
    await asking
    asker.close()
    return endings, polite


def large_frames() -> list[Row]:
    """Send 64-picture ``paper`` frames over 8 connections, then over 64 and over 512: twice each, by turns."""
    large = frames_of("paper", 64)
    core, _ = cores()
    paces: dict[int, list[float]] = {8: [], 64: [], 512: []}
    with cloud_process(core=core) as cloud:
        wrk(cloud.url, large, seconds=1, connections=2, refusals=True)
        for connections in (8, 64, 512, 512, 64, 8):
            load = wrk(cloud.url, large, seconds=3, connections=connections, refusals=True)
            paces[connections].append(64 * load.served)
        most = most_resident_mib(cloud.process.pid)
    few, many, hundreds = (sum(each) / len(each) for each in paces.values())
    return [
        Row(
            name="64-picture paper frames: pictures a second at 8 connections, at 64, which ask again at once",
            value=f"{few:,.0f}, {many:,.0f}",
        ),
        Row(
            name="at 512 connections, beside 64",
            value=f"{hundreds:,.0f}, {hundreds / many:.0%}",
            wanted="90%",
            reached=hundreds >= 0.9 * many,
        ),
        Row(name="the most memory", value=f"{most:.0f} MiB"),
    ]


def greedy_caller() -> list[Row]:
    """Ask politely, beside one caller with 64 connections that asks again at once, whatever the answer is."""
    many, one = frames_of("int8", 16, 4), frames_of("int8", 1, 16)
    core, client_core = cores()
    with cloud_process(core=core) as cloud:
        usable = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {client_core})
        greedy, polite = asyncio.run(_greedy(httpx.URL(cloud.url), many, one))
        os.sched_setaffinity(0, usable)
    refused = greedy.statuses[httpx.codes.TOO_MANY_REQUESTS]
    return [
        Row(
            name="a greedy caller with 64 connections, 16 pictures a frame: answered, refused",
            value=f"{greedy.statuses[httpx.codes.OK]:,}, {refused:,}",
            wanted="it is refused",
            reached=refused > 0,
        ),
        polite.row("a polite caller meanwhile with 4 connections, one picture a frame"),
    ]


async def _greedy(url: httpx.URL, many: list[bytes], one: list[bytes]) -> tuple[Served, Served]:
    greedy, polite = Served(), Served()
    askers = Asker(url=url), Asker(url=url, address=POLITE)
    end = time.monotonic() + SECONDS
    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            group.create_task(ask_on(askers[0], many, end, greedy))
        await asyncio.sleep(1)
        for _ in range(4):
            group.create_task(ask_on(askers[1], one, end, polite, pause=0.01))
    for asker in askers:
        asker.close()
    return greedy, polite
