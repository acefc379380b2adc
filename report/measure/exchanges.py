"""Frames and pictures on their way to a cloud and back, one a request, as a device sends them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from splitwire.edge.deadline import Deadline
from splitwire.edge.network.connection import Connection, Exchange, connect
from splitwire.edge.network.exceptions import map_exceptions
from splitwire.edge.network.response import read, read_answer
from splitwire.edge.settings import DeviceSettings
from splitwire.shared.answer import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

SECONDS_A_PICTURE = 60.0
_UNDER_WAY = 8


class Answers(BaseModel):
    """What came of n pictures: classes, bytes of request bodies, bytes that the socket sent and received.

    ``sent``, ``received``: HTTP's headers included; empty where the system does not count them.
    """

    model_config = ConfigDict(frozen=True)

    classes: tuple[int, ...]
    body_bytes: tuple[int, ...]
    sent: tuple[int, ...]
    received: tuple[int, ...]


class FileAnswers(BaseModel):
    """What came of pictures sent as files; ``codec`` is empty for the files as they are, which bare nothing."""

    model_config = ConfigDict(frozen=True)

    codec: str
    setting: str
    answers: Answers
    bare_bytes: tuple[int, ...]


def open_connection(
    url: str, classes: tuple[str, ...], key: str | None = None
) -> AbstractAsyncContextManager[Connection]:
    """Open the device's way to a cloud.

    Raises:
        SettingsError: not a URL, or a key that can't be one.

    """
    return connect(DeviceSettings(cloud=url, key=key), classes)


async def send_frame(connection: Connection, body: bytes) -> Exchange:
    """Have a frame of one picture answered.

    Raises:
        CloudError: there is no answer; see ``Connection.infer``.

    """
    return await connection.infer(body, pictures=1, top=1, deadline=Deadline.after(SECONDS_A_PICTURE))


async def send_picture(connection: Connection, data: bytes, media_type: str) -> Exchange:
    """Have a picture's file answered by a cloud that runs the whole network.

    Raises:
        CloudError: there is no answer; see ``Connection.infer``.

    """
    started = time.monotonic()
    request = connection.client.build_request(
        "POST", "/classify", content=data, headers={"Content-Type": media_type}
    )
    with map_exceptions(connection.url, late="no answer in time", unreachable="is it running?"):
        response = await connection.client.send(request, stream=True)
        try:
            answer = await read(connection.url, response, MAX_ANSWER_BYTES)
            wire = connection.counter.since_last(response)
        finally:
            await response.aclose()
    seconds = time.monotonic() - started
    found, timings = read_answer(
        connection.url, response, answer, pictures=1, top=1, classes=connection.classes
    )
    return Exchange(
        predictions=found,
        timings_ms=timings,
        seconds=seconds,
        wire=wire,
        wire_bytes=None if wire is None else wire.bytes,
    )


async def send_all(
    bodies: Iterable[bytes],
    send: Callable[[bytes], Awaitable[Exchange]],
    advance: Callable[[int], None],
) -> Answers:
    """Have every body answered, a few at a time; while some are on their way, others are made."""
    exchanges: list[Exchange] = []
    sizes: list[int] = []
    under_way: deque[asyncio.Task[Exchange]] = deque()

    async def take() -> None:
        exchanges.append(await under_way.popleft())
        advance(1)

    try:
        for body in bodies:
            sizes.append(len(body))
            under_way.append(asyncio.ensure_future(send(body)))
            if len(under_way) == _UNDER_WAY:
                await take()
        while under_way:
            await take()
    finally:
        for task in under_way:
            task.cancel()
    wires = [exchange.wire for exchange in exchanges if exchange.wire is not None]
    return Answers(
        classes=tuple(exchange.predictions[0].class_id for exchange in exchanges),
        body_bytes=tuple(sizes),
        sent=tuple(wire.sent for wire in wires),
        received=tuple(wire.received for wire in wires),
    )
