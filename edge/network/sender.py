"""Packs payloads into frames and brings the answers back.

A frame waits a little for more payloads, since many in one cost fewer bytes each: a tenth of its first
picture's time, or until ``flush``. One frame is on its way at a time; what comes meanwhile forms the next ones, none
larger than what the link is expected to carry soon.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splitwire.edge.errors import CloudLate
from splitwire.shared.frame import MAX_PAYLOADS_BYTES, MAX_PICTURES, Frame, pack

if TYPE_CHECKING:
    from splitwire.edge.deadline import Deadline
    from splitwire.edge.network.connection import Connection, Exchange
    from splitwire.edge.network.throughput import ThroughputEstimator
    from splitwire.shared.bundle import Manifest
    from splitwire.shared.messages import Prediction, Timings

_WAIT_SHARE = 0.1
_LONGEST_WAIT_SECONDS = 1.0
_WAY_SHARE = 0.5
"""How much of what is left a frame may be expected to take, if it has more than one picture."""
_LONGEST_WAY_SECONDS = 4.0
"""Likewise; clouds cut a body after 10 seconds."""
_FIRST_BYTES = 8_000
"""The largest frame of more than one picture before anything is known of the link."""


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
    """Sends payloads over one connection; ``throughput`` learns from that."""

    def __init__(
        self, connection: Connection, manifest: Manifest, top: int, throughput: ThroughputEstimator
    ) -> None:
        self.source = connection.source
        """Who answers, as results say it."""
        self._connection = connection
        self._ids = {name: quality.id for name, quality in manifest.qualities.items()}
        self._fingerprints = {name: manifest.fingerprint(name) for name in manifest.qualities}
        self._top = top
        self._throughput = throughput
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def send(self, payload: bytes, quality: str, deadline: Deadline) -> asyncio.Future[Sent]:
        """Send one picture's payload, perhaps together with others.

        The future raises CloudError where there is no answer; see ``Connection.infer``.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(payload=payload, quality=quality, deadline=deadline, sent=loop.create_future())
        waiting.sent.add_done_callback(_look)
        self._waiting.append(waiting)
        if len(self._waiting) == MAX_PICTURES:
            self.flush()
        elif self._timer is None:
            wait = min(_LONGEST_WAIT_SECONDS, _WAIT_SHARE * deadline.left())
            self._timer = loop.call_later(wait, self.flush)
        return waiting.sent

    def flush(self) -> None:
        """Send what waits, as soon as the way is free: no more pictures will come soon."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        while batch := self._next():
            await self._exchange(batch)

    def _next(self) -> list[_Waiting]:
        """Take what goes into one frame: at least one picture, where any waits."""
        batch: list[_Waiting] = []
        room = 0.0
        while self._waiting and len(batch) < MAX_PICTURES:
            waiting = self._waiting[0]
            if not batch:
                room = self._room(waiting.deadline)
            elif waiting.quality != batch[0].quality or len(waiting.payload) > room:
                break
            room -= len(waiting.payload)
            batch.append(self._waiting.popleft())
        return batch

    def _room(self, deadline: Deadline) -> float:
        known = self._throughput.carries(min(_LONGEST_WAY_SECONDS, _WAY_SHARE * deadline.left()))
        return _FIRST_BYTES if known is None else min(known, MAX_PAYLOADS_BYTES)

    async def _exchange(self, batch: list[_Waiting]) -> None:
        payloads, quality = tuple(waiting.payload for waiting in batch), batch[0].quality
        frame = Frame(fingerprint=self._fingerprints[quality], quality=self._ids[quality], payloads=payloads)
        deadline = min((waiting.deadline for waiting in batch), key=lambda each: each.at)
        started = time.monotonic()
        try:
            body = pack(frame)
            exchange = await self._connection.infer(body, len(batch), self._top, deadline)
        except Exception as exc:  # noqa: BLE001 - it belongs to whoever waits
            if isinstance(exc, CloudLate):
                self._throughput.late(len(body), time.monotonic() - started)
            for waiting in batch:
                if not waiting.sent.done():
                    waiting.sent.set_exception(exc)
            return
        self._learn(body, exchange)
        wire_bytes = None if exchange.wire_bytes is None else exchange.wire_bytes / len(batch)
        for waiting, prediction in zip(batch, exchange.predictions, strict=True):
            if not waiting.sent.done():
                sent = Sent(
                    prediction=prediction,
                    timings_ms=exchange.timings_ms,
                    body_bytes=len(body) / len(batch),
                    wire_bytes=wire_bytes,
                )
                waiting.sent.set_result(sent)

    def _learn(self, body: bytes, exchange: Exchange) -> None:
        times, wire = exchange.timings_ms, exchange.wire
        seconds = exchange.seconds - (times.decode + times.queue + times.tail) / 1e3
        if wire is None:
            self._throughput.answered(len(body), seconds, 0.0)
        else:
            self._throughput.answered(wire.bytes, seconds, wire.round_trip)


def _look(sent: asyncio.Future[Sent]) -> None:
    """See its error: nobody may, where the picture was given up meanwhile, and asyncio would complain."""
    if not sent.cancelled():
        sent.exception()
