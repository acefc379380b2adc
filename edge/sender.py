"""Puts payloads into frames and brings the answers back.

A frame waits a little for more payloads, since many in one cost fewer bytes each: a tenth of its first
picture's time, or until there is nothing more to wait for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.frame import MAX_PICTURES, Frame, pack

if TYPE_CHECKING:
    from edge.connection import Connection
    from edge.deadline import Deadline
    from shared.bundle import Manifest
    from shared.messages import Prediction, Timings

_WAIT_SHARE = 0.1
_LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One picture's answer; bytes are the frame's, divided by its pictures."""

    prediction: Prediction
    bundle: str
    timings_ms: Timings
    body_bytes: float
    wire_bytes: float | None


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    payload: bytes
    deadline: Deadline
    sent: asyncio.Future[Sent]


class Sender:
    """Sends payloads of one quality over one connection."""

    def __init__(self, connection: Connection, manifest: Manifest, quality: str, top: int) -> None:
        self._connection = connection
        self._fingerprint = manifest.fingerprint(quality)
        self._quality = manifest.qualities[quality].id
        self._top = top
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def source(self) -> str:
        """Who answers, as records say it."""
        return self._connection.source

    async def send(self, payload: bytes, deadline: Deadline) -> Sent:
        """Send one picture's payload, perhaps together with others.

        Raises:
            CloudError: no answer; see ``Connection.infer``.

        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(payload=payload, deadline=deadline, sent=loop.create_future())
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
        payloads = tuple(waiting.payload for waiting in batch)
        body = pack(Frame(fingerprint=self._fingerprint, quality=self._quality, payloads=payloads))
        deadline = min((waiting.deadline for waiting in batch), key=lambda each: each.at)
        try:
            exchange = await self._connection.infer(body, len(batch), self._top, deadline)
        except Exception as exc:  # noqa: BLE001 - it belongs to whoever waits
            for waiting in batch:
                if not waiting.sent.done():
                    waiting.sent.set_exception(exc)
            return
        answer, count = exchange.answer, len(batch)
        for waiting, prediction in zip(batch, answer.predictions, strict=True):
            if not waiting.sent.done():
                waiting.sent.set_result(
                    Sent(
                        prediction=prediction,
                        bundle=answer.bundle,
                        timings_ms=answer.timings_ms,
                        body_bytes=len(body) / count,
                        wire_bytes=None if exchange.wire_bytes is None else exchange.wire_bytes / count,
                    )
                )
