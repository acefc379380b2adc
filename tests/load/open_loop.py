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

from tests.load.asking import Asker

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICK_SECONDS = 0.001


@dataclass(kw_only=True)
class Outcome:
    """What became of the requests.

    ``statuses``: answers by status. ``waited``: seconds of every answer with status 200, from the
    moment at which its request was due. ``seconds``: from the first request to the last.
    """

    sent: int = 0
    seconds: float = 0.0
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
    """Send so many frames a second, evenly, over as many connections as that takes."""
    outcome, asker, bodies = Outcome(), Asker(url=httpx.URL(url)), cycle(frames)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        while outcome.sent < rate * seconds:
            now = time.perf_counter()
            while outcome.sent < min((now - started) * rate, rate * seconds):
                due = started + outcome.sent / rate
                outcome.sent += 1
                group.create_task(_ask(asker, next(bodies), due, outcome))
            await asyncio.sleep(_TICK_SECONDS)
        outcome.seconds = time.perf_counter() - started
    asker.close()
    return outcome


async def _ask(asker: Asker, body: bytes, due: float, outcome: Outcome) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        reply = await asker.infer(body)
        outcome.statuses[reply.status] += 1
        if reply.status == httpx.codes.OK:
            outcome.waited.append(time.perf_counter() - due)
        elif reply.status == httpx.codes.TOO_MANY_REQUESTS:
            outcome.refused_for_ever += b"\r\nretry-after: " not in reply.head
