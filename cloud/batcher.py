"""Work-conserving batches: an idle model starts at once; what arrives meanwhile is the next batch."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cloud.pace import Pace
from shared.errors import DeadlinePassed, NotReady, QueueFull

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from cloud.engine import Latents


@dataclass(frozen=True, kw_only=True)
class Result:
    """One request's probabilities [pictures, classes], and what it waited, in seconds."""

    probabilities: NDArray[np.float32]
    queued: float
    computed: float


@dataclass(kw_only=True, eq=False, slots=True)
class _Item:
    latents: Latents
    pictures: int
    group: Hashable
    deadline: float | None
    answer: asyncio.Future[Result]
    arrived: float


class Tails(Protocol):
    """What runs a batch: see ``cloud.engine.Engine``."""

    def group(self, fingerprint: int) -> Hashable:
        """Name the group of fingerprints that can share a forward pass."""
        ...

    def tail(self, fingerprint: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Latents [pictures, 128, 5, 5] to probabilities [pictures, classes]."""
        ...


class Batcher:
    """Collects requests for one engine; everything but the forward pass runs on the event loop.

    ``batch_done`` is told of every batch that worked: its pictures, and the seconds it took.
    """

    def __init__(
        self,
        engine: Tails,
        *,
        queue_pictures: int,
        batch_pictures: int,
        batch_done: Callable[[int, float], None] = lambda *_: None,
    ) -> None:
        self.pace = Pace()
        self._engine = engine
        self._queue_pictures = queue_pictures
        self._batch_pictures = batch_pictures
        self._batch_done = batch_done
        self._waiting: deque[_Item] = deque()
        self._depth = 0
        self._running = 0
        self._worked: dict[Hashable, float] = {}
        self._arrival = asyncio.Event()
        self._closed = False
        self._worker: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Pictures that wait."""
        return self._depth

    def worked(self, fingerprint: int) -> float:
        """Tell when the fingerprint's tail last worked, on ``time.monotonic``'s clock; 0: never, or failed since."""
        return self._worked.get(self._engine.group(fingerprint), 0.0)

    def start(self) -> None:
        """Begin to serve; needs a running event loop."""
        self._worker = asyncio.create_task(self._serve())

    def drop(self) -> None:
        """Take no new requests, and refuse those that wait; only the batch in work is answered."""
        self._close()
        for item in self._waiting:
            if not item.answer.done():
                item.answer.set_exception(NotReady("stopping"))
        self._waiting.clear()
        self._depth = 0

    async def close(self) -> None:
        """Answer what waits, then stop; new requests are refused at once."""
        self._close()
        if self._worker is not None:
            await self._worker

    def _close(self) -> None:
        self._closed = True
        self._arrival.set()

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
        pictures = len(latents.values)
        if self._depth + pictures > self._queue_pictures:
            raise QueueFull(self.pace.whole_seconds(self._running + self._depth))
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(
            _Item(
                latents=latents,
                pictures=pictures,
                group=self._engine.group(latents.fingerprint),
                deadline=deadline,
                answer=answer,
                arrived=time.monotonic(),
            )
        )
        self._depth += pictures
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
            if batch and (
                pictures + item.pictures > self._batch_pictures or item.group != batch[0].group
            ):
                break
            self._waiting.popleft()
            self._depth -= item.pictures
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
        fingerprint, group = batch[0].latents.fingerprint, batch[0].group
        self._running = sum(item.pictures for item in batch)
        try:
            values = np.stack([value for item in batch for value in item.latents.values])
            probabilities = await asyncio.to_thread(self._engine.tail, fingerprint, values)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it fails this batch alone
            self._worked.pop(group, None)
            for item in batch:
                with suppress(asyncio.InvalidStateError):
                    item.answer.set_exception(exc)
            return
        finally:
            self._running = 0
        now = time.monotonic()
        self._worked[group] = now
        self.pace.add(len(values), now - started)
        self._batch_done(len(values), now - started)
        first = 0
        for item in batch:
            rows = probabilities[first : first + item.pictures]
            first += item.pictures
            with suppress(asyncio.InvalidStateError):
                item.answer.set_result(
                    Result(probabilities=rows, queued=started - item.arrived, computed=now - started)
                )
