"""What a training will take: time, disk and memory, from a trial step of every stage."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from splitwire.models.device import Compute
from splitwire.models.training.data.batches import run_batch
from splitwire.models.training.data.cache import Frozen
from splitwire.models.training.run import Run
from splitwire.models.training.stages.stage import AnyStage, CacheSizes, Earlier, InputSizes

_FLOAT16_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What one stage will take.

    ``memory``: the process's highest so far, its trial step included, bytes; on CUDA that of the GPU.
    """

    stage: str
    steps: int
    seconds: float
    disk: int
    memory: int


def forecast(run: Run, stages: Sequence[AnyStage]) -> list[Forecast]:
    """Try two steps of each stage on noise, with networks of its own."""
    forecasts = []
    counted: set[CacheSizes] = set()
    for stage in stages:
        sizes = stage.sizes(run)
        steps = stage.settings.steps(sizes.count)
        seconds, disk = steps * _step_seconds(run, stage, sizes), 0
        if sizes.cached and sizes.cached not in counted:
            counted.add(sizes.cached)
            seconds += sizes.cached.count * _picture_seconds(run, sizes.cached.place)
            disk = sizes.cached.count * _FLOAT16_BYTES * math.prod(sizes.cached.shape)
        forecasts.append(
            Forecast(stage=stage.name, steps=steps, seconds=seconds, disk=disk, memory=_memory(run.compute))
        )
    return forecasts


def _step_seconds(run: Run, stage: AnyStage, sizes: InputSizes) -> float:
    classes, device = len(run.pictures.training.classes), run.compute.device
    network = run.untrained(stage, classes)
    loss = stage.loss(Earlier(stage, lambda needed: run.untrained(needed, classes))).to(device)
    trained = stage.to_train(network, run).train().to(device).to(memory_format=torch.channels_last)
    inputs = torch.rand(min(stage.settings.batch, sizes.count), *sizes.shape, device=device)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(classes, (len(inputs),), device=device)
    optimizer = stage.optimizer(network)
    for _ in range(2):
        started = time.monotonic()
        optimizer.zero_grad()
        with run.compute.autocast():
            value: Tensor = loss(trained, inputs, labels)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        value.item()
        seconds = time.monotonic() - started
    return seconds


def _picture_seconds(run: Run, place: str) -> float:
    """Measure a picture's way through frozen layers."""
    stage, size = run.pipeline.backbone, run.settings.preparation.size
    network = Frozen(run.untrained(stage, 2).until(place)).to(run.compute.device)
    inputs = torch.randn(16, 3, size, size)
    run_batch(network, inputs, run.compute)
    started = time.monotonic()
    run_batch(network, inputs, run.compute)
    return (time.monotonic() - started) / len(inputs)


def _memory(compute: Compute) -> int:
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated(compute.device)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest
