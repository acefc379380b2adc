"""A cloud that fails for a moment is asked again, within one deadline; a dead one is left alone for a while."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import CloudAnswerInvalid, CloudBusy, CloudLate, CloudRefused, CloudUnreachable
from splitwire.edge.network.connection import Connection, breaker
from splitwire.edge.network.wire import Wire, WireCounter
from splitwire.shared.answer import CONTENT_TYPE, Choice, CompactAnswer, compact, pack
from splitwire.shared.messages import Likely, Timings

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

OK = httpx.Response(
    200,
    json={
        "predictions": [
            {
                "label": "cat",
                "class_id": 1,
                "probability": 0.9,
                "top": [{"label": "cat", "class_id": 1, "probability": 0.9}],
            }
        ],
        "bundle": "b",
        "quality": "q",
        "device": "cpu",
        "timings_ms": {"decode": 1, "queue": 1, "tail": 1},
    },
)


def error(status: int, name: str = "E", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": name, "message": "no time"}, headers=headers)


class Cloud:
    """Gives one answer after the other, the last one for ever; keeps what was asked and when."""

    def __init__(self, *answers: httpx.Response | Exception | Callable[[], object]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.moments: list[float] = []
        self.seconds = 0.0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.moments.append(time.monotonic())
        await asyncio.sleep(self.seconds)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            stream = httpx.ByteStream(answer.content)  # as from a socket: not read yet
            return httpx.Response(answer.status_code, stream=stream, headers=answer.headers)
        await asyncio.sleep(60)
        raise AssertionError("it waited for nothing")

    def connection(self) -> Connection:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.handle), base_url="http://cloud")
        return Connection(client=client, url="http://cloud", source="cloud", classes=("a", "cat"))


async def ask(connection: Connection, seconds: float = 2.0) -> str:
    exchange = await connection.infer(b"frame", 1, 1, Deadline.after(seconds))
    return exchange.predictions[0].label


@pytest.mark.parametrize(
    "passing",
    [httpx.ConnectError("refused"), httpx.ReadError("reset"), error(408), error(429), error(502), error(503)],
    ids=str,
)
async def test_what_may_pass_is_tried_again(passing: httpx.Response | Exception) -> None:
    cloud = Cloud(passing, passing, OK)
    assert await ask(cloud.connection(), 5) == "cat"
    assert len(cloud.requests) == 3


async def test_a_try_that_hangs_leaves_time_for_another() -> None:
    cloud = Cloud(lambda: None, OK)
    assert await ask(cloud.connection(), 1.0) == "cat"
    assert len(cloud.requests) == 2


async def test_the_bytes_of_all_tries_count_and_are_unknown_where_one_had_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WireCounter, "since_last", lambda *_: Wire(sent=20, received=10, round_trip=0.0))
    for first, expected in ((error(503), 60), (httpx.ReadError("reset"), None)):
        exchange = await Cloud(first, OK).connection().infer(b"frame", 1, 1, Deadline.after(5))
        assert exchange.wire_bytes == expected
        assert exchange.wire is not None
        assert exchange.wire.bytes == 30


async def test_every_try_tells_the_cloud_what_is_left() -> None:
    cloud = Cloud(error(503), error(503), OK)
    await ask(cloud.connection(), 5)
    left = [int(request.headers["Deadline-Ms"]) for request in cloud.requests]
    spent = [round(1e3 * (moment - cloud.moments[0])) for moment in cloud.moments]
    assert left[0] <= 5000
    assert left == sorted(left, reverse=True)
    assert [left[0] - each for each in left] == pytest.approx(spent, abs=50)


@pytest.mark.parametrize("status", [400, 401, 403, 409, 413, 415, 500])
async def test_other_errors_are_not_tried_again(status: int) -> None:
    cloud = Cloud(error(status))
    with pytest.raises(CloudRefused, match=rf"no time \(HTTP {status}\)"):
        await ask(cloud.connection())
    assert len(cloud.requests) == 1


async def test_a_frame_that_is_always_too_long_on_its_way_is_late() -> None:
    with pytest.raises(CloudLate, match=r"no time \(HTTP 408\)"):
        await ask(Cloud(error(408)).connection(), 0.2)


async def test_the_clouds_own_504_is_not_tried_again() -> None:
    cloud = Cloud(error(504, "DeadlinePassed"))
    with pytest.raises(CloudLate):
        await ask(cloud.connection())
    assert len(cloud.requests) == 1


async def test_a_proxys_504_is_a_time_out_that_is_tried_again() -> None:
    cloud = Cloud(httpx.Response(504, text="<html>"), OK)
    assert await ask(cloud.connection()) == "cat"


async def test_a_retry_after_is_respected() -> None:
    cloud = Cloud(error(429, **{"Retry-After": "1"}), OK)
    await ask(cloud.connection(), 5)
    assert cloud.moments[1] - cloud.moments[0] >= 1


@pytest.mark.parametrize("retry_after", ["30", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_retry_after_beyond_what_is_left_ends_it_at_once(retry_after: str) -> None:
    cloud, started = Cloud(error(503, **{"Retry-After": retry_after})), time.monotonic()
    with pytest.raises(CloudBusy):
        await ask(cloud.connection(), 5)
    assert time.monotonic() - started < 1


async def test_no_answer_is_waited_for_beyond_the_deadline() -> None:
    started = time.monotonic()
    with pytest.raises(CloudLate, match="--deadline-ms"):
        await ask(Cloud(lambda: None).connection(), 0.3)
    assert time.monotonic() - started < 0.6


async def test_a_proxys_502_without_our_json_is_busy_too() -> None:
    with pytest.raises(CloudBusy, match=r"Bad Gateway \(HTTP 502\)"):
        await ask(Cloud(httpx.Response(502, text="<html>")).connection(), 0.2)


async def test_what_is_no_splitwire_answer_is_not_tried_again() -> None:
    cloud = Cloud(httpx.Response(200, text="hello"))
    with pytest.raises(CloudAnswerInvalid):
        await ask(cloud.connection())
    assert len(cloud.requests) == 1


async def test_a_dead_cloud_is_left_alone_and_probed_by_one_picture() -> None:
    cloud = Cloud(httpx.ConnectError("refused"))
    connection = replace(cloud.connection(), breaker=breaker(0.3))
    for _ in range(3):
        with pytest.raises(CloudUnreachable, match="refused"):
            await ask(connection, 0.05)
    asked = len(cloud.requests)
    with pytest.raises(CloudUnreachable, match="3 pictures in a row got no answer"):
        await ask(connection, 1)
    assert len(cloud.requests) == asked

    await asyncio.sleep(0.35)
    cloud.answers, cloud.seconds = [OK], 0.05
    answers = await asyncio.gather(*(ask(connection) for _ in range(5)), return_exceptions=True)
    assert answers[0] == "cat"
    assert all(isinstance(answer, CloudUnreachable) for answer in answers[1:])
    assert await asyncio.gather(*(ask(connection) for _ in range(5))) == ["cat"] * 5


async def test_a_busy_cloud_is_not_a_dead_one() -> None:
    cloud = Cloud(error(503))
    connection = cloud.connection()
    for _ in range(5):
        with pytest.raises(CloudBusy):
            await ask(connection, 0.05)
    cloud.answers = [OK]
    assert await ask(connection) == "cat"


async def test_the_answer_may_be_compact() -> None:
    timings = Timings(decode=1, queue=2, tail=3)
    body = pack(compact([[Likely(1, 0.9)]], timings))
    cloud = Cloud(httpx.Response(200, content=body, headers={"Content-Type": CONTENT_TYPE}))
    exchange = await cloud.connection().infer(b"frame", 1, 1, Deadline.after(1))
    assert exchange.predictions[0].label == "cat"
    assert exchange.predictions[0].probability == pytest.approx(0.9, abs=1e-4)
    assert exchange.timings_ms == timings


@pytest.mark.parametrize(
    "body",
    [
        b"\xa1",
        pack(CompactAnswer(pictures=((Choice(9, 1),),), timings_ms=Timings(decode=0, queue=0, tail=0))),
    ],
)
async def test_a_compact_answer_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(CloudAnswerInvalid):
        await ask(
            Cloud(httpx.Response(200, content=body, headers={"Content-Type": CONTENT_TYPE})).connection()
        )
