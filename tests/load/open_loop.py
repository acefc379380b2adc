"""Requests at a fixed rate, whether answers come or not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from statistics import quantiles
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICK_SECONDS = 0.001
_HEAD = b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"


@dataclass(kw_only=True)
class Outcome:
    """What became of the requests.

    ``statuses``: answers by status. ``waited``: seconds of every answer with status 200, from the
    moment at which its request was due.
    """

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)
    refused_for_ever: int = 0
    """Answers with status 429 and no Retry-After."""

    @property
    def lost(self) -> int:
        """How many were sent and never answered."""
        return self.sent - self.statuses.total()

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of what answers with status 200 took."""
        return 1e3 * quantiles(self.waited, n=100)[98]


async def ask_at_rate(url: str, frames: Sequence[bytes], rate: float, seconds: float) -> Outcome:
    """Send so many frames a second, evenly, each on a connection of its own until that is answered."""
    outcome, free = Outcome(), list[_Connection]()
    requests = cycle([_HEAD % len(frame) + frame for frame in frames])
    address = httpx.URL(url)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while outcome.sent < rate * seconds:
            now = time.perf_counter()
            while outcome.sent < min((now - started) * rate, rate * seconds):
                due = started + outcome.sent / rate
                outcome.sent += 1
                group.create_task(_ask(address, free, next(requests), due, outcome))
            await asyncio.sleep(_TICK_SECONDS)
    for _, writer in free:
        writer.close()
    return outcome


_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _ask(
    address: httpx.URL, free: list[_Connection], request: bytes, due: float, outcome: Outcome
) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await _connection(address, free)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, _, length = head.partition(b"content-length: ")
        await reader.readexactly(int(length.partition(b"\r")[0]))
        status = int(head[9:12])
        outcome.statuses[status] += 1
        if status == httpx.codes.OK:
            outcome.waited.append(time.perf_counter() - due)
        elif status == httpx.codes.TOO_MANY_REQUESTS:
            outcome.refused_for_ever += b"retry-after: " not in head
        if b"connection: close" not in head:
            free.append((reader, writer))


async def _connection(address: httpx.URL, free: list[_Connection]) -> _Connection:
    while free:
        reader, writer = free.pop()
        if not reader.at_eof():  # the server closes those that were idle for long
            return reader, writer
        writer.close()
    return await asyncio.open_connection(address.host, address.port)
