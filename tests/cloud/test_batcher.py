"""The batcher: no waiting window, bounded, and nobody suffers for a neighbour."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from splitwire.cloud.errors import DeadlinePassed, NotReady, QueueFull
from splitwire.cloud.inference.batcher import Batcher, Ranked
from splitwire.cloud.inference.engine import Decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

pytestmark = pytest.mark.anyio
GOOD, OTHER, BROKEN = 1, 2, 3
CALLER = "caller"


class GatedEngine:
    """Answers each picture with its own symbols, once the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self.failing = False

    def group(self, fingerprint: int) -> int:
        return fingerprint

    def classify(self, frames: Sequence[Decoded]) -> NDArray[np.float32]:
        self.gate.wait(timeout=10)
        values = np.stack([symbols for frame in frames for symbols in frame.symbols])
        self.batches.append(len(values))
        self.threads.add(threading.get_ident())
        if frames[0].fingerprint == BROKEN or self.failing:
            raise ArithmeticError("no model works")
        return values


class Clock:
    """Goes on by a step each time that it is looked at."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 100.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def frame(*values: float, fingerprint: int = GOOD) -> Decoded:
    """A picture for each value, which is the probability of its only class."""
    return Decoded(fingerprint=fingerprint, symbols=[np.array([value], np.float32) for value in values])


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture
async def batcher(engine: GatedEngine) -> Batcher:
    batcher = Batcher(engine, queue_pictures=10, batch_pictures=4)
    batcher.start()
    return batcher


async def submitted(batcher: Batcher, *requests: Decoded, caller: str = CALLER) -> list[asyncio.Task[Ranked]]:
    tasks: list[asyncio.Task[Ranked]] = []
    for request in requests:
        tasks.append(asyncio.create_task(batcher.submit(request, caller)))
        await asyncio.sleep(0.01)
    return tasks


async def test_an_idle_model_starts_at_once_and_what_arrives_meanwhile_is_the_next_batch(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, *(frame(value) for value in range(4)))
    engine.gate.set()
    results = await asyncio.gather(*tasks)
    assert engine.batches == [1, 3]
    assert [result.probabilities.item() for result in results] == [0, 1, 2, 3]


async def test_answers_leave_first_so_that_who_got_one_can_be_in_the_next_batch(
    batcher: Batcher, engine: GatedEngine
) -> None:
    engine.gate.set()

    async def caller() -> None:
        for _ in range(4):
            await batcher.submit(frame(0), CALLER)

    await asyncio.gather(*(caller() for _ in range(5)))
    assert engine.batches == [4] * 5


async def test_the_event_loop_goes_on_during_a_batch(batcher: Batcher, engine: GatedEngine) -> None:
    engine.gate.set()
    await batcher.submit(frame(0), CALLER)
    assert threading.get_ident() not in engine.threads


async def test_a_batch_keeps_its_cap_and_one_quality(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(
        batcher, frame(0), frame(1, 2), frame(3, 4, 5), frame(6, fingerprint=OTHER), frame(7)
    )
    engine.gate.set()
    await asyncio.gather(*tasks)
    assert engine.batches == [1, 2, 4, 1]


async def test_qualities_that_alternate_share_batches_and_the_first_to_come_goes_first(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(
        batcher,
        frame(0),
        *(frame(number, fingerprint=number % 2 + GOOD) for number in range(1, 7)),
    )
    done: list[float] = []
    for task in tasks:
        task.add_done_callback(lambda task: done.append(task.result().probabilities.item()))
    engine.gate.set()
    await asyncio.gather(*tasks)
    assert engine.batches == [1, 3, 3]
    assert done == [0, 1, 3, 5, 2, 4, 6]
    assert batcher.depth == 0


async def test_a_full_queue_refuses_with_a_time_to_retry(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, frame(0), frame(*range(10)))
    with pytest.raises(QueueFull) as refused:
        batcher.check_room(CALLER, 1)
    assert refused.value.retry_after == 1, "nothing was measured yet"
    engine.gate.set()
    await asyncio.gather(*tasks)


async def test_a_queue_that_was_full_is_as_short_as_half_a_batch_until_nobody_was_refused_for_a_while(
    engine: GatedEngine,
) -> None:
    clock = Clock()
    batcher = Batcher(engine, queue_pictures=20, batch_pictures=4, clock=clock)
    batcher.start()
    tasks = await submitted(batcher, frame(0), frame(*range(20)))
    with pytest.raises(QueueFull):
        batcher.check_room(CALLER, 1)
    engine.gate.set()
    await asyncio.gather(*tasks)
    engine.gate.clear()
    tasks = await submitted(batcher, frame(0), frame(*range(9)))  # a lone frame always fits
    with pytest.raises(QueueFull):
        batcher.check_room(CALLER, 1)
    engine.gate.set()
    await asyncio.gather(*tasks)
    engine.gate.clear()
    tasks = await submitted(batcher, frame(0), frame(1))
    batcher.check_room(CALLER, 1)
    clock.now += 0.9
    with pytest.raises(QueueFull):
        batcher.check_room(CALLER, 2)
    clock.now += 0.9
    with pytest.raises(QueueFull):
        batcher.check_room(CALLER, 2)
    batcher.check_room(CALLER, 15, large=True)
    with pytest.raises(QueueFull):
        batcher.check_room(CALLER, 16, large=True)
    clock.now += 1.1
    batcher.check_room(CALLER, 19)
    with pytest.raises(QueueFull):
        batcher.check_room(CALLER, 20)
    engine.gate.set()
    await asyncio.gather(*tasks)


async def test_a_cloud_that_takes_one_picture_at_once_has_room_again_after_a_refusal(
    engine: GatedEngine,
) -> None:
    batcher = Batcher(engine, queue_pictures=10, batch_pictures=1)
    batcher.start()
    tasks = await submitted(batcher, frame(0), frame(*range(10)))
    with pytest.raises(QueueFull):
        batcher.check_room(CALLER, 1)
    assert batcher.busy
    engine.gate.set()
    await asyncio.gather(*tasks)
    batcher.check_room(CALLER, 1)
    assert not batcher.busy


async def test_a_caller_below_its_share_is_not_refused_for_one_that_asks_for_more(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, frame(0), *(frame(value) for value in range(10)), caller="greedy")
    with pytest.raises(QueueFull):  # from now on there is room for two
        batcher.check_room("greedy", 1)
    batcher.check_room("polite", 1)
    tasks += await submitted(batcher, frame(11), caller="polite")
    for caller in ("polite", "greedy"):
        with pytest.raises(QueueFull):
            batcher.check_room(caller, 1)
    assert batcher.depth == 11
    engine.gate.set()
    results = await asyncio.gather(*tasks)
    assert results[-1].probabilities.item() == 11
    assert batcher.depth == 0


async def test_a_caller_with_nothing_in_the_queue_may_send_a_frame_that_is_larger_than_its_share(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, frame(0), *(frame(value) for value in range(10)), caller="greedy")
    batcher.check_room("polite", 9)
    tasks += await submitted(batcher, frame(*range(9)), caller="polite")
    engine.gate.set()
    await asyncio.gather(*tasks)


async def test_the_time_to_retry_is_what_the_queue_will_take_at_the_measured_pace(
    batcher: Batcher, engine: GatedEngine
) -> None:
    batcher.pace.add(4, 2.0)
    tasks = await submitted(batcher, frame(0), frame(*range(9)))
    with pytest.raises(QueueFull) as refused:
        batcher.check_room(CALLER, 2)
    assert refused.value.retry_after == 5  # 1 picture in work and 9 that wait, half a second each
    engine.gate.set()
    await asyncio.gather(*tasks)


async def test_the_pace_is_measured_from_the_batches_that_ran(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, frame(0))
    await asyncio.sleep(0.2)
    engine.gate.set()
    await asyncio.gather(*tasks)
    assert batcher.pace.whole_seconds(100) >= 20


async def test_pictures_that_left_the_queue_make_room(batcher: Batcher, engine: GatedEngine) -> None:
    engine.gate.set()
    for _ in range(5):
        batcher.check_room(CALLER, 10)
        await batcher.submit(frame(*range(10)), CALLER)
    assert batcher.depth == 0


async def test_a_batch_that_worked_is_told_and_remembered_until_one_fails(engine: GatedEngine) -> None:
    told: list[int] = []
    batcher = Batcher(
        engine, queue_pictures=10, batch_pictures=4, batch_done=lambda pictures, _: told.append(pictures)
    )
    batcher.start()
    engine.gate.set()
    assert batcher.worked(GOOD) == 0
    started = time.monotonic()
    await batcher.submit(frame(1, 2), CALLER)
    assert told == [2]
    assert batcher.worked(GOOD) >= started
    engine.failing = True
    with pytest.raises(RuntimeError):
        await batcher.submit(frame(1), CALLER)
    assert batcher.worked(GOOD) == 0
    assert told == [2]


async def test_a_failing_batch_fails_its_own_requests_only(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, frame(0), frame(1, fingerprint=BROKEN), frame(2))
    engine.gate.set()
    await asyncio.wait(tasks)
    with pytest.raises(RuntimeError, match="the model failed"):
        tasks[1].result()
    assert [task.result().probabilities.item() for task in (tasks[0], tasks[2])] == [0, 2]


async def test_each_request_of_a_failed_batch_has_an_error_of_its_own(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, frame(0), *(frame(value, fingerprint=BROKEN) for value in range(3)))
    engine.gate.set()
    await asyncio.wait(tasks)
    failures = [task.exception() for task in tasks[1:]]
    assert len({id(failure) for failure in failures}) == 3
    (cause,) = {failure.__cause__ for failure in failures if failure}
    assert isinstance(cause, ArithmeticError)


async def test_expired_work_is_dropped_before_the_model(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, frame(0))
    late = asyncio.create_task(batcher.submit(frame(1), CALLER, deadline=time.monotonic() + 0.01))
    await asyncio.sleep(0.05)
    engine.gate.set()
    with pytest.raises(DeadlinePassed):
        await late
    await asyncio.gather(*tasks)
    assert engine.batches == [1]


async def test_a_caller_that_has_gone_costs_nothing(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, frame(0), frame(1), frame(2))
    tasks[1].cancel()
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert engine.batches == [1, 1]


async def test_closing_answers_what_waits_and_refuses_what_comes(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, frame(0), frame(1))
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.01)
    with pytest.raises(NotReady):
        await batcher.submit(frame(2), CALLER)
    engine.gate.set()
    await closing
    assert [task.result().probabilities.item() for task in tasks] == [0, 1]


async def test_dropping_refuses_what_waits_and_answers_the_batch_in_work(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, frame(0), frame(1), frame(2))
    batcher.drop()
    for waiting in tasks[1:]:
        with pytest.raises(NotReady):
            await waiting
    engine.gate.set()
    await batcher.close()
    assert (await tasks[0]).probabilities.item() == 0
    assert engine.batches == [1]
    assert batcher.depth == 0
