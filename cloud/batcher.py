"""Work-conserving batches: an idle model starts at once; what arrives meanwhile is the next batch."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from shared.errors import DeadlinePassed, NotReady, QueueFull

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from cloud.engine import Latents


@dataclass(frozen=True, kw_only=True)
class Result:
    """One request's probabilities [pictures, classes], and what it waited, in seconds."""

    probabilities: NDArray[np.float32]
    queued: float
    computed: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Item:
    latents: Latents
    deadline: float | None
    answer: asyncio.Future[Result]
    arrived: float = field(default_factory=time.monotonic)

    @property
    def pictures(self) -> int:
        return len(self.latents.values)


class Tails(Protocol):
    """What runs a batch: see ``cloud.engine.Engine``."""

    def group(self, quality: str) -> Hashable:
        """Name the group of qualities that can share a forward pass."""
        ...

    def tail(self, quality: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Latents [pictures, 128, 5, 5] to probabilities [pictures, classes]."""
        ...


class Batcher:
    """Collects requests for one engine; everything but the forward pass runs on the event loop."""

    def __init__(self, engine: Tails, *, queue_pictures: int, batch_pictures: int) -> None:
        self._engine = engine
        self._queue_pictures = queue_pictures
        self._batch_pictures = batch_pictures
        self._waiting: deque[_Item] = deque()
        self._arrival = asyncio.Event()
        self._seconds_a_picture = 0.01
        self._closed = False
        self._worker: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Pictures that wait."""
        return sum(item.pictures for item in self._waiting)

    def start(self) -> None:
        """Begin to serve; needs a running event loop."""
        self._worker = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """Answer what waits, then stop; new requests are refused at once."""
        self._closed = True
        self._arrival.set()
        if self._worker is not None:
            await self._worker

    async def submit(self, latents: Latents, deadline: float | None = None) -> Result:
        """Wait for a request's result.

        Args:
            latents: 1 to 64 pictures of one quality.
            deadline: on ``time.monotonic``'s clock, seconds.

        Raises:
            QueueFull: as many pictures wait as may.
            NotReady: the server is stopping.
            DeadlinePassed: the model would have started after the deadline.

        """
        if self._closed:
            raise NotReady("stopping")
        depth = self.depth
        if depth + len(latents.values) > self._queue_pictures:
            raise QueueFull(max(1, round(depth * self._seconds_a_picture)))
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Item(latents=latents, deadline=deadline, answer=answer))
        self._arrival.set()
        return await answer

    async def _serve(self) -> None:
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            while self._waiting:
                await self._run(self._next_batch())
            if self._closed:
                return

    def _next_batch(self) -> list[_Item]:
        """Take from the front what fits together; a lone request may be larger than the cap."""
        batch: list[_Item] = []
        pictures = 0
        while self._waiting:
            item = self._waiting[0]
            group = self._engine.group(item.latents.quality)
            if batch and (
                pictures + item.pictures > self._batch_pictures
                or group != self._engine.group(batch[0].latents.quality)
            ):
                break
            self._waiting.popleft()
            if item.answer.done():  # the caller has gone
                continue
            if item.deadline is not None and time.monotonic() > item.deadline:
                item.answer.set_exception(DeadlinePassed())
                continue
            batch.append(item)
            pictures += item.pictures
        return batch

    async def _run(self, batch: list[_Item]) -> None:
        if not batch:
            return
        started = time.monotonic()
        quality = batch[0].latents.quality
        try:
            values = np.concatenate([item.latents.values for item in batch])
            probabilities = await asyncio.to_thread(self._engine.tail, quality, values)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it fails this batch alone
            for item in batch:
                with suppress(asyncio.InvalidStateError):
                    item.answer.set_exception(exc)
            return
        computed = time.monotonic() - started
        self._seconds_a_picture += 0.1 * (computed / len(values) - self._seconds_a_picture)
        first = 0
        for item in batch:
            rows = probabilities[first : first + item.pictures]
            first += item.pictures
            with suppress(asyncio.InvalidStateError):
                item.answer.set_result(
                    Result(probabilities=rows, queued=started - item.arrived, computed=computed)
                )
