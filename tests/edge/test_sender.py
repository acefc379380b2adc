"""Which payloads share a frame, and when it goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import CloudLate
from splitwire.edge.network.connection import Connection, Exchange
from splitwire.edge.network.sender import Sender
from splitwire.edge.network.throughput import ThroughputEstimator
from splitwire.edge.network.wire import Wire
from splitwire.shared.bundle import default_bundle_path, load_manifest
from splitwire.shared.errors import FrameLengthInvalid
from splitwire.shared.frame import MAX_PAYLOAD_BYTES, unpack
from splitwire.shared.messages import Prediction, Timings

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

CAT = Prediction(label="cat", class_id=3, probability=0.9, top=())
INT8 = bytes(3_200)
HEADERS = 400


class Slow:
    """A cloud behind a link of some bytes a second, where time passes ten times as fast; keeps what came."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.frames: list[int] = []
        self.on_the_way = 0
        self.source = "cloud"

    async def infer(  # as Connection does
        self,
        body: bytes,
        pictures: int,
        top: int,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
    ) -> Exchange:
        assert self.on_the_way == 0, "two frames at a time"
        seconds = (len(body) + HEADERS) / self.rate
        self.frames.append(len(unpack(body).payloads))
        self.on_the_way += 1
        await asyncio.sleep(seconds / 10)
        self.on_the_way -= 1
        return Exchange(
            predictions=(CAT,) * pictures,
            timings_ms=Timings(decode=0, queue=0, tail=0),
            seconds=seconds,
            wire=Wire(sent=len(body) + HEADERS, received=0, round_trip=0),
            wire_bytes=len(body) + HEADERS,
        )


@pytest.fixture
def sender_over() -> Callable[[Slow], Sender]:
    return lambda cloud: Sender(
        cast("Connection", cloud),
        load_manifest(default_bundle_path()),
        top=1,
        throughput=ThroughputEstimator(),
    )


async def send(sender: Sender, pictures: int, payload: bytes, seconds: float = 600) -> None:
    sending = [sender.send(payload, "int8", Deadline.after(seconds)) for _ in range(pictures)]
    sender.flush()
    assert [sent.prediction for sent in await asyncio.gather(*sending)] == [CAT] * pictures


async def test_frames_follow_each_other_none_larger_than_the_link_carries(
    sender_over: Callable[[Slow], Sender],
) -> None:
    cloud = Slow(rate=2_500)
    await send(sender_over(cloud), 12, INT8)
    assert sum(cloud.frames) == 12
    assert max(cloud.frames) <= 3  # ten thousand bytes in four seconds


async def test_a_fast_link_carries_many_pictures_in_a_frame_once_it_is_known(
    sender_over: Callable[[Slow], Sender],
) -> None:
    cloud = Slow(rate=1e6)
    await send(sender_over(cloud), 100, INT8)
    assert cloud.frames == [2, 64, 34]


async def test_a_frame_has_no_more_than_it_can_say(sender_over: Callable[[Slow], Sender]) -> None:
    cloud = Slow(rate=1e10)
    await send(sender_over(cloud), 10, bytes(MAX_PAYLOAD_BYTES))
    assert cloud.frames == [1, 4, 4, 1]


async def test_small_codes_share_a_frame_on_a_link_not_known_yet(
    sender_over: Callable[[Slow], Sender],
) -> None:
    cloud = Slow(rate=1e6)
    await send(sender_over(cloud), 60, bytes(16))
    assert cloud.frames == [60]


async def test_what_comes_while_a_frame_is_on_its_way_forms_the_next(
    sender_over: Callable[[Slow], Sender],
) -> None:
    cloud = Slow(rate=2_500)
    sender = sender_over(cloud)
    first = asyncio.create_task(send(sender, 1, bytes(600)))
    await asyncio.sleep(0.01)
    await asyncio.gather(first, *(send(sender, 1, bytes(16)) for _ in range(5)))
    assert cloud.frames == [1, 5]


async def test_one_frame_that_fails_does_not_stop_the_next(sender_over: Callable[[Slow], Sender]) -> None:
    cloud = Slow(rate=1e6)
    sender, answer = sender_over(cloud), cloud.infer

    async def fail(*_: object) -> Exchange:
        cloud.infer = answer  # type: ignore[method-assign]
        raise CloudLate("http://cloud", "no answer in time")

    cloud.infer = fail  # type: ignore[method-assign,assignment]
    lost = sender.send(INT8, "int8", Deadline.after(1))
    sender.flush()
    await asyncio.sleep(0)
    await send(sender, 1, INT8)
    with pytest.raises(CloudLate):
        await lost


async def test_what_fits_in_no_frame_fails_alone(sender_over: Callable[[Slow], Sender]) -> None:
    cloud = Slow(rate=1e6)
    sender = sender_over(cloud)
    async with asyncio.timeout(5):
        with pytest.raises(FrameLengthInvalid):
            await send(sender, 1, b"")
        await send(sender, 1, INT8)
    assert cloud.frames == [1]
