"""The batcher: no waiting window, bounded, and nobody suffers for a neighbour."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cloud.batcher import Batcher, Result
from cloud.engine import Latents
from shared.errors import DeadlinePassed, NotReady, QueueFull

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.anyio
GOOD, OTHER, BROKEN = 1, 2, 3


class GatedEngine:
    """Answers each latent with its own first value, once the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[int] = []
        self.failing = False

    def group(self, fingerprint: int) -> int:
        return fingerprint

    def tail(self, fingerprint: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        self.gate.wait(timeout=10)
        self.batches.append(len(values))
        if fingerprint == BROKEN or self.failing:
            raise RuntimeError("the model failed")
        return values[:, :1, 0, 0]


def latents(*values: float, fingerprint: int = GOOD) -> Latents:
    array = np.zeros((len(values), 128, 5, 5), dtype=np.float32)
    array[:, 0, 0, 0] = values
    return Latents(fingerprint=fingerprint, values=array)


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture
async def batcher(engine: GatedEngine) -> Batcher:
    batcher = Batcher(engine, queue_pictures=10, batch_pictures=4)
    batcher.start()
    return batcher


async def submitted(batcher: Batcher, *requests: Latents) -> list[asyncio.Task[Result]]:
    tasks: list[asyncio.Task[Result]] = []
    for request in requests:
        tasks.append(asyncio.create_task(batcher.submit(request)))
        await asyncio.sleep(0.01)
    return tasks


async def test_an_idle_model_starts_at_once_and_what_arrives_meanwhile_is_the_next_batch(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, *(latents(value) for value in range(4)))
    engine.gate.set()
    results = await asyncio.gather(*tasks)
    assert engine.batches == [1, 3]
    assert [result.probabilities.item() for result in results] == [0, 1, 2, 3]


async def test_a_batch_keeps_its_cap_and_one_quality_and_a_large_frame_goes_alone(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(
        batcher, latents(0), latents(1, 2), latents(3, 4, 5), latents(6, fingerprint=OTHER), latents(7)
    )
    engine.gate.set()
    await asyncio.gather(*tasks)
    assert engine.batches == [1, 2, 3, 1, 1]


async def test_a_full_queue_refuses_with_a_time_to_retry(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, latents(0), latents(*range(10)))
    with pytest.raises(QueueFull) as refused:
        await batcher.submit(latents(1))
    assert refused.value.retry_after >= 1
    engine.gate.set()
    await asyncio.gather(*tasks)


async def test_the_time_to_retry_is_what_the_queue_will_take_at_the_measured_pace(
    batcher: Batcher, engine: GatedEngine
) -> None:
    batcher.pace.add(4, 2.0)
    tasks = await submitted(batcher, latents(0), latents(*range(9)))
    with pytest.raises(QueueFull) as refused:
        await batcher.submit(latents(1, 2))
    assert refused.value.retry_after == 5  # 1 picture in work and 9 that wait, half a second each
    engine.gate.set()
    await asyncio.gather(*tasks)


async def test_the_pace_is_measured_from_the_batches_that_ran(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, latents(0))
    await asyncio.sleep(0.2)
    engine.gate.set()
    await asyncio.gather(*tasks)
    assert batcher.pace.whole_seconds(100) >= 20


async def test_pictures_that_left_the_queue_make_room(batcher: Batcher, engine: GatedEngine) -> None:
    engine.gate.set()
    for _ in range(5):
        await batcher.submit(latents(*range(10)))
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
    await batcher.submit(latents(1, 2))
    assert told == [2]
    assert batcher.worked(GOOD) >= started
    engine.failing = True
    with pytest.raises(RuntimeError):
        await batcher.submit(latents(1))
    assert batcher.worked(GOOD) == 0
    assert told == [2]


async def test_a_failing_batch_fails_its_own_requests_only(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, latents(0), latents(1, fingerprint=BROKEN), latents(2))
    engine.gate.set()
    await asyncio.wait(tasks)
    with pytest.raises(RuntimeError, match="the model failed"):
        tasks[1].result()
    assert [task.result().probabilities.item() for task in (tasks[0], tasks[2])] == [0, 2]


async def test_expired_work_is_dropped_before_the_model(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, latents(0))
    late = asyncio.create_task(batcher.submit(latents(1), deadline=time.monotonic() + 0.01))
    await asyncio.sleep(0.05)
    engine.gate.set()
    with pytest.raises(DeadlinePassed):
        await late
    await asyncio.gather(*tasks)
    assert engine.batches == [1]


async def test_a_caller_that_has_gone_costs_nothing(batcher: Batcher, engine: GatedEngine) -> None:
    tasks = await submitted(batcher, latents(0), latents(1), latents(2))
    tasks[1].cancel()
    await asyncio.sleep(0)
    engine.gate.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert engine.batches == [1, 1]


async def test_closing_answers_what_waits_and_refuses_what_comes(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, latents(0), latents(1))
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.01)
    with pytest.raises(NotReady):
        await batcher.submit(latents(2))
    engine.gate.set()
    await closing
    assert [task.result().probabilities.item() for task in tasks] == [0, 1]


async def test_dropping_refuses_what_waits_and_answers_the_batch_in_work(
    batcher: Batcher, engine: GatedEngine
) -> None:
    tasks = await submitted(batcher, latents(0), latents(1), latents(2))
    batcher.drop()
    with pytest.raises(NotReady):
        await tasks[1]
    engine.gate.set()
    await batcher.close()
    assert (await tasks[0]).probabilities.item() == 0
    assert engine.batches == [1]
    assert batcher.depth == 0
