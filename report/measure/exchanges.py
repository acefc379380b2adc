"""Frames and pictures on their way to a cloud and back, one a request, as a device sends them."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import TYPE_CHECKING

from splitwire.edge.compute.coder import Coder
from splitwire.edge.deadline import Deadline
from splitwire.edge.network.connection import Connection, Exchange, connect
from splitwire.edge.network.exceptions import map_exceptions
from splitwire.edge.network.response import read, read_answer
from splitwire.edge.settings import DeviceSettings
from splitwire.report.results import Answers
from splitwire.shared.answer import MAX_ANSWER_BYTES
from splitwire.shared.frame import Frame, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

SECONDS_A_PICTURE = 60.0
_AT_A_TIME = 8


class Framer:
    """Makes a frame of a head's outputs as a device does, in one quality."""

    def __init__(self, bundle: Bundle, quality: str) -> None:
        self._coder, self._quality = Coder(bundle, quality), quality
        self._fingerprint = bundle.manifest.fingerprint(quality)
        self._id = bundle.manifest.qualities[quality].id

    def __call__(self, outputs: Mapping[str, NDArray[np.float32]] | np.void) -> bytes:
        """Make the frame of a picture, given the outputs that a head makes of it, or a record of them."""
        latent = outputs[self._coder.outputs[self._quality]]
        payloads = (self._coder.encode(latent, self._quality),)
        return pack(Frame(fingerprint=self._fingerprint, quality=self._id, payloads=payloads))


def open_connection(
    url: str, classes: tuple[str, ...], key: str | None = None
) -> AbstractAsyncContextManager[Connection]:
    """Open the device's way to a cloud."""
    return connect(DeviceSettings(cloud=url, key=key), classes)


async def ask(connection: Connection, body: bytes, media_type: str | None) -> Exchange:
    """Have one picture answered; ``media_type``: of its file, which a whole network takes, or None for a frame."""
    if media_type is None:
        deadline = Deadline.after(SECONDS_A_PICTURE)
        return await connection.infer(body, pictures=1, top=1, deadline=deadline)
    url, started = connection.url, time.monotonic()
    headers = {"Content-Type": media_type}
    request = connection.client.build_request("POST", "/classify", content=body, headers=headers)
    with map_exceptions(url, late="no answer in time", unreachable="is it running?"):
        response = await connection.client.send(request, stream=True)
        try:
            answer = await read(url, response, MAX_ANSWER_BYTES)
            wire = connection.counter.since_last(response)
        finally:
            await response.aclose()
    seconds = time.monotonic() - started
    found, timings = read_answer(url, response, answer, pictures=1, top=1, classes=connection.classes)
    return Exchange(
        predictions=found,
        timings_ms=timings,
        seconds=seconds,
        wire=wire,
        wire_bytes=None if wire is None else wire.bytes,
    )


async def ask_all(
    connection: Connection, bodies: Iterable[bytes], media_type: str | None, advance: Callable[[int], None]
) -> Answers:
    """Have every picture answered, a few at a time; see ``ask``."""
    exchanges: list[Exchange] = []
    sizes: list[int] = []
    left = iter(bodies)
    while some := list(islice(left, _AT_A_TIME)):
        exchanges += await asyncio.gather(*(ask(connection, body, media_type) for body in some))
        sizes += map(len, some)
        advance(len(some))
    wires = [exchange.wire for exchange in exchanges if exchange.wire is not None]
    return Answers(
        classes=tuple(exchange.predictions[0].class_id for exchange in exchanges),
        body_bytes=tuple(sizes),
        sent=tuple(wire.sent for wire in wires),
        received=tuple(wire.received for wire in wires),
    )
