"""The one training loop: seeded, logged, checkpointed, resumable."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from models.training.checkpoint import Checkpoint, random_state, set_random_state
from models.training.log import TrainingLog, Validation
from models.training.progress import CONSOLE, stage_progress
from models.training.weights import state_digest
from shared.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydantic import JsonValue

    from models.training.device import Compute
    from models.training.settings import StageSettings
    from models.training.sources import Source

LOG_STEPS = 50
_WARM_UP = 0.15  # share of the steps in which a one-cycle rate rises


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How a stage ended, and the seconds that training it took, interruptions left out."""

    validation: Validation
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Stage:
    """All that one training stage needs."""

    title: str
    folder: Path
    network: nn.Module
    optimizer: torch.optim.Optimizer
    source: Source
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor]
    """(network, inputs [N, ...], labels [N] int64) -> scalar."""
    validate: Callable[[nn.Module], Validation]
    settings: StageSettings
    seed: int
    compute: Compute

    @property
    def steps_an_epoch(self) -> int:
        """Batches that hold every picture once."""
        return math.ceil(len(self.source.labels) / self.settings.batch)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.settings.epochs * self.steps_an_epoch

    def identity(self) -> dict[str, JsonValue]:
        """Everything that decides how the training goes."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "source": dict(self.source.identity),
            "start": state_digest(self.network),
            "seed": self.seed,
        }


def fit(stage: Stage, *, resume: bool) -> Fitted:
    """Train; leave ``log.csv``, ``loss.png`` and ``checkpoint.pt`` in the stage's folder.

    With ``resume`` a checkpoint there is continued, and ends as if it had never stopped;
    a finished one is only validated.

    Raises:
        TrainingError: the loss is no number, or the checkpoint can't be continued.

    """
    stage.folder.mkdir(parents=True, exist_ok=True)
    network = stage.network.to(stage.compute.device).to(memory_format=torch.channels_last)
    scheduler = LambdaLR(stage.optimizer, _rate_curve(stage))
    checkpoint = Checkpoint(
        file=stage.folder / "checkpoint.pt",
        identity=stage.identity(),
        network=network,
        optimizer=stage.optimizer,
        scheduler=scheduler,
    )
    torch.manual_seed(stage.seed)
    step = checkpoint.restore() if resume else 0
    log = TrainingLog(stage.folder / "log.csv", step)
    if step == stage.steps:
        return Fitted(validation=stage.validate(network.eval()), seconds=log.seconds())
    CONSOLE.print(_expectation(stage, network, stage.steps - step))
    with stage_progress() as progress:
        task = progress.add_task(stage.title, total=stage.steps, completed=step, note="")
        while step < stage.steps:
            epoch, first = divmod(step, stage.steps_an_epoch)
            network.train()
            losses: list[float] = []
            for inputs, labels in _batches(stage, epoch, first):
                losses.append(_step(stage, network, inputs, labels))
                scheduler.step()
                step += 1
                progress.update(task, completed=step, note=f"loss {losses[-1]:.4g}")
                if step % stage.steps_an_epoch:
                    checkpoint.save_when_due(step)
                    if step % LOG_STEPS == 0:
                        log.write(step, epoch + 1, losses)
                        losses.clear()
            validation = stage.validate(network.eval())
            log.write(step, epoch + 1, losses, validation)
            log.plot(stage.folder / "loss.png", stage.title)
            checkpoint.save(step)
            progress.console.print(
                f"{stage.title}: epoch {epoch + 1} of {stage.settings.epochs}, held-out pictures: "
                f"loss {validation.loss:.4g}, accuracy {validation.accuracy:.2%}"
            )
    return Fitted(validation=validation, seconds=log.seconds())


def _expectation(stage: Stage, network: nn.Module, steps: int) -> str:
    """Time forward and backward on two batches, without learning from them."""
    random = random_state()
    for inputs, labels in islice(_batches(stage, 0, 0), 2):
        started = time.monotonic()
        _backward(stage, network.train(), inputs, labels)
    seconds = time.monotonic() - started
    stage.optimizer.zero_grad(set_to_none=True)
    set_random_state(random)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return (
        f"{stage.title}: {steps:,} steps of {stage.settings.batch} pictures on {stage.compute}, about "
        f"{timedelta(seconds=round(steps * seconds))}; {parameters:,} parameters, "
        f"{16 * parameters / 1e9:.1f} GB with gradients and Adam's moments"
    )


def _step(stage: Stage, network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    stage.optimizer.zero_grad(set_to_none=True)
    loss = _backward(stage, network, inputs, labels)
    stage.optimizer.step()
    if not math.isfinite(loss):
        raise TrainingError(f"{stage.title}: the loss is {loss}; lower the rates and start again")
    return loss


def _backward(stage: Stage, network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with stage.compute.autocast():
        loss = stage.loss(network, inputs, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def _batches(stage: Stage, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch's batches from number ``first`` on, the next one fetched while one is used."""
    rng = np.random.default_rng((stage.seed, epoch))
    count, size = len(stage.source.labels), stage.settings.batch
    order = rng.permutation(count)
    variants = rng.integers(stage.source.variants, size=count)
    starts = range(first * size, count, size)

    def fetch(start: int) -> tuple[Tensor, Tensor]:
        chosen = order[start : start + size]
        inputs = stage.source.batch(chosen, variants[chosen])
        labels = torch.from_numpy(stage.source.labels[chosen])
        if inputs.dim() == 4:
            inputs = inputs.to(memory_format=torch.channels_last)
        return inputs.to(stage.compute.device, torch.float32), labels.to(stage.compute.device)

    with ThreadPoolExecutor(1) as pool:
        upcoming = None
        for start in starts:
            batch = upcoming.result() if upcoming else fetch(start)
            if start + size in starts:
                upcoming = pool.submit(fetch, start + size)
            yield batch


def _rate_curve(stage: Stage) -> Callable[[int], float]:
    """Factor of the rate at a step: 1, or up a line and down a half cosine."""
    rise = max(1, round(_WARM_UP * stage.steps))

    def one_cycle(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, stage.steps - rise)))

    return one_cycle if stage.settings.schedule == "one-cycle" else lambda _: 1.0
