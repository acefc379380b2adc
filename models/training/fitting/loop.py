"""The one training loop: seeded, logged, checkpointed, resumable."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from splitwire.models.errors import TrainingError
from splitwire.models.training.fitting.checkpoint import Checkpoint
from splitwire.models.training.fitting.log import TrainingLog, Validation
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.models.training.fitting.weights import state_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydantic import JsonValue

    from splitwire.models.training.data.sources import Source
    from splitwire.models.training.fitting.device import Compute
    from splitwire.models.training.settings import StageSettings

LOG_STEPS = 50
_WARM_UP = 0.15  # share of the steps in which a one-cycle rate rises


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How a stage ended, and the seconds that training it took, interruptions left out."""

    validation: Validation
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """Where, on what, and from where on a stage is trained."""

    title: str
    folder: Path
    seed: int
    compute: Compute
    resume: bool


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, on what, and how."""

    job: Job
    network: nn.Module
    optimizer: torch.optim.Optimizer
    source: Source
    loss: nn.Module
    """(network, inputs [N, ...], labels [N] int64) -> scalar; its own weights are not trained."""
    validate: Callable[[nn.Module], Validation]
    settings: StageSettings

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
            "loss": state_digest(self.loss),
            "seed": self.job.seed,
        }


def fit(training: Training) -> Fitted:
    """Train; leave ``log.csv``, ``loss.png`` and ``checkpoint.pt`` in the job's folder.

    On resumption a checkpoint there is continued, and ends as if it had never stopped;
    a finished one is only validated.

    Raises:
        TrainingError: the loss is no number, or the checkpoint can't be continued.

    """
    training.job.folder.mkdir(parents=True, exist_ok=True)
    network = training.network.to(training.job.compute.device).to(memory_format=torch.channels_last)
    training.loss.to(training.job.compute.device)
    scheduler = LambdaLR(training.optimizer, _rate_curve(training))
    checkpoint = Checkpoint(
        file=training.job.folder / "checkpoint.pt",
        identity=training.identity(),
        network=network,
        optimizer=training.optimizer,
        scheduler=scheduler,
    )
    torch.manual_seed(training.job.seed)
    step = checkpoint.restore() if training.job.resume else 0
    log = TrainingLog(training.job.folder / "log.csv", step)
    if step == training.steps:
        return Fitted(validation=training.validate(network.eval()), seconds=log.seconds())
    with stage_progress() as progress:
        task = progress.add_task(training.job.title, total=training.steps, completed=step, note="")
        while step < training.steps:
            epoch, first = divmod(step, training.steps_an_epoch)
            network.train()
            losses: list[float] = []
            for inputs, labels in _batches(training, epoch, first):
                losses.append(_step(training, network, inputs, labels))
                scheduler.step()
                step += 1
                progress.update(task, completed=step, note=f"loss {losses[-1]:.4g}")
                if step % training.steps_an_epoch:
                    checkpoint.save_when_due(step)
                    if step % LOG_STEPS == 0:
                        log.write(step, epoch + 1, losses)
                        losses.clear()
            validation = training.validate(network.eval())
            log.write(step, epoch + 1, losses, validation)
            log.plot(training.job.folder / "loss.png", training.job.title)
            checkpoint.save(step)
            progress.console.print(
                f"{training.job.title}: epoch {epoch + 1} of {training.settings.epochs}, held-out pictures: "
                f"loss {validation.loss:.4g}, accuracy {validation.accuracy:.2%}"
            )
    return Fitted(validation=validation, seconds=log.seconds())


def _step(training: Training, network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    training.optimizer.zero_grad(set_to_none=True)
    loss = _backward(training, network, inputs, labels)
    training.optimizer.step()
    if not math.isfinite(loss):
        raise TrainingError(f"{training.job.title}: the loss is {loss}; lower the rates and start again")
    return loss


def _backward(training: Training, network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with training.job.compute.autocast():
        loss: Tensor = training.loss(network, inputs, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def _batches(training: Training, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch's batches from number ``first`` on, the next one fetched while one is used."""
    rng = np.random.default_rng((training.job.seed, epoch))
    count, size = len(training.source.labels), training.settings.batch
    order = rng.permutation(count)
    variants = rng.integers(training.source.variants, size=count)
    starts = range(first * size, count, size)

    def fetch(start: int) -> tuple[Tensor, Tensor]:
        chosen = order[start : start + size]
        inputs = training.source.batch(chosen, variants[chosen])
        labels = torch.from_numpy(training.source.labels[chosen])
        if inputs.dim() == 4:
            inputs = inputs.to(memory_format=torch.channels_last)
        return inputs.to(training.job.compute.device, torch.float32), labels.to(training.job.compute.device)

    with ThreadPoolExecutor(1) as pool:
        upcoming = None
        for start in starts:
            batch = upcoming.result() if upcoming else fetch(start)
            if start + size in starts:
                upcoming = pool.submit(fetch, start + size)
            yield batch


def _rate_curve(training: Training) -> Callable[[int], float]:
    """Factor of the rate at a step: 1, or up a line and down a half cosine."""
    rise = max(1, round(_WARM_UP * training.steps))

    def one_cycle(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, training.steps - rise)))

    return one_cycle if training.settings.schedule == "one-cycle" else lambda _: 1.0
