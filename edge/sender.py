"""Puts payloads into frames and brings the answers back.

A frame waits a little for more payloads, since many in one cost fewer bytes each: a tenth of its first
picture's time, or until there is nothing more to wait for.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import CloudLate
from shared.frame import MAX_PICTURES, Frame, pack

if TYPE_CHECKING:
    from edge.connection import Connection, Exchange
    from edge.deadline import Deadline
    from edge.link import Link
    from shared.bundle import Manifest
    from shared.messages import Prediction, Timings

_WAIT_SHARE = 0.1
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One picture's answer; bytes are the frame's, divided by its pictures."""

    prediction: Prediction
    timings_ms: Timings
    body_bytes: float
    wire_bytes: float | None


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    payload: bytes
    quality: str
    deadline: Deadline
    sent: asyncio.Future[Sent]


class Sender:
    """Sends payloads over one connection, and lets ``link`` learn from that."""

    def __init__(self, connection: Connection, manifest: Manifest, top: int, link: Link) -> None:
        self._connection = connection
        self._ids = {name: quality.id for name, quality in manifest.qualities.items()}
        self._fingerprints = {name: manifest.fingerprint(name) for name in manifest.qualities}
        self._top = top
        self._link = link
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def source(self) -> str:
        """Who answers, as records say it."""
        return self._connection.source

    async def send(self, payload: bytes, quality: str, deadline: Deadline) -> Sent:
        """Send one picture's payload, perhaps together with others.

        Raises:
            CloudError: no answer; see ``Connection.infer``.

        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(payload=payload, quality=quality, deadline=deadline, sent=loop.create_future())
        if self._waiting and self._waiting[0].quality != quality:
            self.flush()
        self._waiting.append(waiting)
        if len(self._waiting) == MAX_PICTURES:
            self.flush()
        elif self._timer is None:
            wait = min(_LONGEST_WAIT_SECONDS, _WAIT_SHARE * deadline.left())
            self._timer = loop.call_later(wait, self.flush)
        return await waiting.sent

    def flush(self) -> None:
        """Send what waits: no more pictures will come soon."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            batch, self._waiting = self._waiting, []
            task = asyncio.create_task(self._exchange(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _exchange(self, batch: list[_Waiting]) -> None:
        payloads, quality = tuple(waiting.payload for waiting in batch), batch[0].quality
        frame = Frame(fingerprint=self._fingerprints[quality], quality=self._ids[quality], payloads=payloads)
        body = pack(frame)
        deadline = min((waiting.deadline for waiting in batch), key=lambda each: each.at)
        started = time.monotonic()
        try:
            exchange = await self._connection.infer(body, len(batch), self._top, deadline)
        except Exception as exc:  # noqa: BLE001 - it belongs to whoever waits
            if isinstance(exc, CloudLate):
                self._link.late(len(body), time.monotonic() - started)
            for waiting in batch:
                if not waiting.sent.done():
                    waiting.sent.set_exception(exc)
            return
        self._learn(body, exchange)
        count = len(batch)
        for waiting, prediction in zip(batch, exchange.predictions, strict=True):
            if not waiting.sent.done():
                waiting.sent.set_result(
                    Sent(
                        prediction=prediction,
                        timings_ms=exchange.timings_ms,
                        body_bytes=len(body) / count,
                        wire_bytes=None if exchange.wire is None else exchange.wire.bytes / count,
                    )
                )

    def _learn(self, body: bytes, exchange: Exchange) -> None:
        times = exchange.timings_ms
        seconds = exchange.seconds - (times.decode + times.queue + times.tail) / 1e3
        if exchange.wire is None:
            self._link.answered(len(body), seconds, 0.0)
        else:
            self._link.answered(exchange.wire.bytes, seconds, exchange.wire.round_trip)
