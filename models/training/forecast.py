"""What a training will take: time, disk and memory, from a trial step of every stage."""

from __future__ import annotations

import math
import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from splitwire.models.autoencoder import cae
from splitwire.models.training.data.augmentation import frozen_network
from splitwire.models.training.data.sources import run_batch
from splitwire.models.training.settings import (
    ConvolutionSettings,
    FallbackSettings,
    FeatureSettings,
    QualitySettings,
    TeacherSettings,
)
from splitwire.models.training.stages.autoencoder import SquaredError, build_autoencoder
from splitwire.models.training.stages.backbone import CrossEntropy, cross_entropy, stage_networks
from splitwire.models.training.stages.fallback import build_fallback
from splitwire.models.training.stages.qualities import TaskAndRate, build_quality
from splitwire.models.training.stages.teacher import build_teacher
from splitwire.models.vgg16 import BLOCK_SHAPES, FEATURE_SHAPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from splitwire.models.training.fitting.device import Compute
    from splitwire.models.training.run import Run

_FLOAT16_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What one stage will take.

    ``memory``: the process's highest so far, its trial step included, bytes; on CUDA that of the GPU.
    """

    stage: str
    steps: int
    seconds: float
    disk: int
    memory: int


def plan(run: Run, stages: Sequence[str]) -> list[Expectation]:
    """Try two steps of each stage on noise, with networks of its own.

    Raises:
        TrainingError: the pictures can't be used.
        SettingsError: the run has no such stage.

    """
    asked = {stage: run.settings.preset.settings_of(stage) for stage in stages}
    pictures = run.pictures
    size = _Size(
        training=len(pictures.training),
        held_out=len(pictures.held_out),
        classes=len(pictures.training.classes),
        side=pictures.training.image(0).width,
    )
    expectations, features_counted = [], False
    for stage, settings in asked.items():
        seen = size.training
        if isinstance(settings, FeatureSettings):
            seen *= run.settings.preset.data.variants
        steps = settings.epochs * math.ceil(seen / settings.batch)
        if isinstance(settings, TeacherSettings):
            step, cache = _teacher(run, settings, size), _Cache()
        elif isinstance(settings, ConvolutionSettings):
            step, cache = _convolutions(run, settings, size)
        else:
            step = _after_convolutions(run, stage, settings, size)
            cache = _Cache() if features_counted else _cache(run, 5, seen + size.held_out, size)
            features_counted = True
        expectations.append(
            Expectation(
                stage=stage,
                steps=steps,
                seconds=steps * step + cache.seconds,
                disk=cache.disk,
                memory=_memory(run.compute),
            )
        )
    return expectations


@dataclass(frozen=True, kw_only=True)
class _Size:
    training: int
    held_out: int
    classes: int
    side: int


@dataclass(frozen=True, kw_only=True)
class _Cache:
    seconds: float = 0
    disk: int = 0


def _teacher(run: Run, settings: TeacherSettings, size: _Size) -> float:
    teacher = build_teacher(settings, size.classes, run.seed)
    shape = (3, size.side, size.side)
    return _step_seconds(teacher, CrossEntropy(), shape, settings.batch, size, run.compute)


def _after_convolutions(run: Run, stage: str, settings: FeatureSettings, size: _Size) -> float:
    network: nn.Module
    loss: nn.Module
    if isinstance(settings, QualitySettings):
        network = build_quality(settings, cae(), run.seed)
        loss = TaskAndRate(run.untrained_backbone(size.classes).classifier, settings)
    elif isinstance(settings, FallbackSettings):
        network, loss = build_fallback(settings, size.classes, run.seed), CrossEntropy()
    else:
        network, loss = build_autoencoder(stage, run.seed), SquaredError()
    return _step_seconds(network, loss, FEATURE_SHAPE, settings.batch, size, run.compute)


def _convolutions(run: Run, settings: ConvolutionSettings, size: _Size) -> tuple[float, _Cache]:
    teacher = None
    if settings.soft_labels:
        teacher = build_teacher(run.settings.preset.teacher, size.classes, run.seed)
    network, _ = stage_networks(run.untrained_backbone(size.classes), settings, run.settings.preparation)
    blocks = settings.frozen_blocks
    shape = (3, size.side, size.side) if settings.augmented else BLOCK_SHAPES[blocks]
    loss = cross_entropy(settings, teacher)
    step = _step_seconds(network, loss, shape, settings.batch, size, run.compute)
    cached = size.held_out if settings.augmented else size.training + size.held_out
    return step, _cache(run, blocks, cached, size) if blocks else _Cache()


def _cache(run: Run, blocks: int, count: int, size: _Size) -> _Cache:
    network = frozen_network(run.untrained_backbone(size.classes).convolutions, blocks)
    network.to(run.compute.device)
    inputs = torch.randn(16, *BLOCK_SHAPES[0])
    run_batch(network, inputs, run.compute)
    started = time.monotonic()
    run_batch(network, inputs, run.compute)
    seconds = (time.monotonic() - started) / len(inputs)
    return _Cache(seconds=count * seconds, disk=count * _FLOAT16_BYTES * math.prod(BLOCK_SHAPES[blocks]))


def _step_seconds(
    network: nn.Module, loss: nn.Module, shape: tuple[int, ...], batch: int, size: _Size, compute: Compute
) -> float:
    network.train().to(compute.device)
    loss.to(compute.device)
    inputs = torch.rand(batch, *shape, device=compute.device)
    if len(shape) == 3:
        network.to(memory_format=torch.channels_last)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(size.classes, (batch,), device=compute.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)
    for _ in range(2):
        started = time.monotonic()
        optimizer.zero_grad()
        with compute.autocast():
            value: Tensor = loss(network, inputs, labels)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        value.item()
        seconds = time.monotonic() - started
    return seconds


def _memory(compute: Compute) -> int:
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated(compute.device)
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest
