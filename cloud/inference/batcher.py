"""Work-conserving batches: an idle model starts at once; what arrives meanwhile is the next batch."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from splitwire.cloud.errors import DeadlinePassed, NotReady, QueueFull
from splitwire.cloud.inference.room import Room
from splitwire.shared.task import Classification

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from splitwire.cloud.inference.engine import Decoded


_SECONDS_SHORT = 1.0
"""How long after a refusal the queue stays short."""
_TURNS_TO_ASK_AGAIN = 8
"""Turns of the event loop in which answers are made, written and read, and the callers' next requests read."""
_KEPT = 0.9
"""The weight of all earlier batches' pace beside the latest: ten batches count, the larger the more."""


@dataclass(kw_only=True, slots=True)
class Ranked:
    """One request's classes, and the seconds that it waited and that its batch took.

    ``classes`` and ``probabilities``: [pictures, classes], the likeliest class first; one whose
    probability is not finite is last.
    """

    classes: NDArray[np.intp]
    probabilities: NDArray[np.float32]
    queued: float
    computed: float


@dataclass(kw_only=True, eq=False, slots=True)
class _Item:
    frame: Decoded
    caller: Hashable
    large: bool
    pictures: int
    group: Hashable
    deadline: float | None
    answer: asyncio.Future[Ranked]
    arrived: float


class BatchRunner(Protocol):
    """What runs a batch: see ``splitwire.cloud.inference.engine.Engine``."""

    def group(self, fingerprint: int) -> Hashable:
        """Name the group of fingerprints that can share a forward pass."""
        ...

    def classify(self, frames: Sequence[Decoded]) -> NDArray[np.float32]:
        """Find the probabilities [pictures, classes] of the pictures of frames of one group."""
        ...


class Pace:
    """Pictures a second over the last batches, as measured."""

    def __init__(self) -> None:
        self._pictures = 0.0
        self._seconds = 0.0

    def add(self, pictures: int, seconds: float) -> None:
        """Note a batch and the time it took."""
        self._pictures = _KEPT * self._pictures + pictures
        self._seconds = _KEPT * self._seconds + seconds

    def whole_seconds(self, pictures: int) -> int:
        """Tell how long so many pictures will take, rounded up; 1 before anything was measured."""
        if not self._pictures:
            return 1
        return max(1, math.ceil(pictures * self._seconds / self._pictures))


class Batcher:
    """Collects requests for one model; everything but the forward pass runs on the event loop.

    The queue takes a burst of ``queue_pictures``. Once it was full it is as short as half a batch
    until nobody has been refused for a second: in a long overload the accepted don't wait for long.
    Callers share it as ``splitwire.cloud.inference.room.Room`` says.

    ``clock``: seconds; ``time.monotonic`` unless a test has its own.
    ``batch_done`` is told of every batch that worked: its pictures, and the seconds it took.
    After a batch the event loop has some turns: so answers leave first, and who got one can be in the next batch.
    Where a batch of large bodies waits already, it has one: refusing more of them takes time, too.
    ``only_core``: the model has no other core than the event loop. Then the forward pass runs on the event loop's
    thread, since side by side they would only push each other out of the caches.
    docs/adr/0014 has what that buys.
    """

    def __init__(
        self,
        model: BatchRunner,
        *,
        queue_pictures: int,
        batch_pictures: int,
        batch_done: Callable[[int, float], None] = lambda *_: None,
        only_core: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = Pace()
        self._model = model
        self._room = Room(queue_pictures)
        self._short = max(1, batch_pictures // 2)
        self._batch_pictures = batch_pictures
        self._batch_done = batch_done
        self._only_core = only_core
        self._clock = clock
        self._waiting: deque[_Item] = deque()
        self._running = 0
        self._refused = -math.inf
        self._worked: dict[Hashable, float] = {}
        self._arrival = asyncio.Event()
        self._closed = False
        self._worker: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Pictures that wait."""
        return self._room.used

    def worked(self, fingerprint: int) -> float:
        """Tell when the fingerprint's tail last worked, on the clock; 0: never, or failed since."""
        return self._worked.get(self._model.group(fingerprint), 0.0)

    def start(self) -> None:
        """Begin to serve; needs a running event loop."""
        self._worker = asyncio.create_task(self._serve())

    def drop(self) -> None:
        """Take no new requests, and refuse those that wait; only the batch in work is answered."""
        self._close()
        while self._waiting:
            item = self._waiting.popleft()
            self._free(item)
            if not item.answer.done():
                item.answer.set_exception(NotReady("stopping"))

    async def close(self) -> None:
        """Answer what waits, then stop; new requests are refused at once."""
        self._close()
        if self._worker is not None:
            await self._worker

    def _close(self) -> None:
        self._closed = True
        self._arrival.set()

    @property
    def busy(self) -> bool:
        """Whether half a batch or more is in work or waits."""
        return self._running + self.depth >= self._short

    @property
    def retry_after(self) -> int:
        """How long what is in work or waits will take, whole seconds."""
        return self.pace.whole_seconds(self._running + self.depth)

    def check_room(
        self, caller: Hashable, pictures: int, *, large: bool = False, unread: bool = False
    ) -> None:
        """Refuse so many pictures of a caller unless they may wait; a lone frame always may.

        ``large``: their body is admitted by its size before it is read, and then takes a while to arrive. For
        it a short queue has room for four batches, so that the model needs not wait for the next one.
        ``unread``: the body has not been read.

        Raises:
            NotReady: the server is stopping.
            QueueFull: as many wait as may.

        """
        if self._closed:
            raise NotReady("stopping")
        now = self._clock()
        short = 4 * self._batch_pictures if large else self._short
        if not self._room.has(caller, pictures, short if now - self._refused < _SECONDS_SHORT else None):
            self._refused = now
            raise QueueFull(self.retry_after, unread=unread)

    async def submit(
        self, frame: Decoded, caller: Hashable, deadline: float | None = None, *, large: bool = False
    ) -> Ranked:
        """Wait for a request's result, whether or not the queue has room: ``check_room`` tells that.

        Args:
            frame: 1 to 64 pictures of one quality.
            caller: whose they are.
            deadline: on the clock, seconds.
            large: see ``check_room``.

        Raises:
            NotReady: the server is stopping.
            DeadlinePassed: the model would have started after the deadline.
            RuntimeError: the model failed.

        """
        if self._closed:
            raise NotReady("stopping")
        item = _Item(
            frame=frame,
            caller=caller,
            large=large,
            pictures=len(frame.symbols),
            group=self._model.group(frame.fingerprint),
            deadline=deadline,
            answer=asyncio.get_running_loop().create_future(),
            arrived=self._clock(),
        )
        self._waiting.append(item)
        self._room.take(caller, item.pictures)
        self._arrival.set()
        return await item.answer

    def _free(self, item: _Item) -> None:
        self._room.give_back(item.caller, item.pictures)

    async def _serve(self) -> None:
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            while self._waiting:
                if batch := self._next_batch():
                    await self._run(batch)
                    pressed = self._waiting and self._waiting[0].large and self.depth >= self._batch_pictures
                    for _ in range(1 if pressed else _TURNS_TO_ASK_AGAIN):
                        await asyncio.sleep(0)
            if self._closed:
                return

    def _next_batch(self) -> list[_Item]:
        """Take the first request and, in their order, those after it that fit with it; the others stay in theirs.

        A lone request may be larger than the cap.
        """
        batch: list[_Item] = []
        others: list[_Item] = []
        pictures = 0
        while self._waiting:
            item = self._waiting.popleft()
            if item.answer.done():  # the caller has gone
                self._free(item)
            elif item.deadline is not None and self._clock() > item.deadline:
                self._free(item)
                item.answer.set_exception(DeadlinePassed())
            elif batch and item.group != batch[0].group:
                others.append(item)
            elif batch and pictures + item.pictures > self._batch_pictures:
                others.append(item)
                break
            else:
                self._free(item)
                batch.append(item)
                pictures += item.pictures
        self._waiting.extendleft(reversed(others))
        return batch

    async def _run(self, batch: list[_Item]) -> None:
        started = self._clock()
        group = batch[0].group
        self._running = sum(item.pictures for item in batch)
        try:
            if self._only_core:
                classes, probabilities = self._forward(batch)
            else:
                classes, probabilities = await asyncio.to_thread(self._forward, batch)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it fails this batch alone
            self._worked.pop(group, None)
            for item in batch:
                # Each has its own, since the access log adds a note to it.
                failure = RuntimeError("the model failed on the request's batch")
                failure.__cause__ = exc
                with suppress(asyncio.InvalidStateError):
                    item.answer.set_exception(failure)
            return
        finally:
            self._running = 0
        now = self._clock()
        self._worked[group] = now
        self.pace.add(len(classes), now - started)
        self._batch_done(len(classes), now - started)
        first = 0
        for item in batch:
            rows = slice(first, first + item.pictures)
            first += item.pictures
            with suppress(asyncio.InvalidStateError):
                item.answer.set_result(
                    Ranked(
                        classes=classes[rows],
                        probabilities=probabilities[rows],
                        queued=started - item.arrived,
                        computed=now - started,
                    )
                )

    def _forward(self, batch: list[_Item]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        return Classification.rank(self._model.classify([item.frame for item in batch]))
