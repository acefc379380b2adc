"""The one training loop: seeded, logged, checkpointed, resumable."""

from __future__ import annotations

import csv
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from models.training.plots import plot_log
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

CHECKPOINT_SECONDS = 240
LOG_STEPS = 50
_WARM_UP = 0.15  # share of the steps in which a one-cycle rate rises
_LOG_FIELDS = ("step", "epoch", "training_loss", "validation_loss", "validation_accuracy", "seconds")


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What a stage measures on held-out pictures; accuracy in 0..1."""

    loss: float
    accuracy: float


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


def fit(stage: Stage, *, resume: bool) -> Fitted:
    """Train; leave ``log.csv``, ``loss.png`` and ``checkpoint.pt`` in the stage's folder.

    With ``resume`` a checkpoint there is continued, and ends as if it had never stopped;
    a finished one is only validated.

    Raises:
        TrainingError: the loss is no number, or the checkpoint belongs to other settings.

    """
    stage.folder.mkdir(parents=True, exist_ok=True)
    network = stage.network.to(stage.compute.device).to(memory_format=torch.channels_last)
    scheduler = LambdaLR(stage.optimizer, _rate_curve(stage))
    torch.manual_seed(stage.seed)
    identity = _identity(stage)
    step = _restore(stage, scheduler, identity) if resume else 0
    log = _Log(stage.folder / "log.csv", step)
    steps_an_epoch = _steps_an_epoch(stage)
    validation: Validation | None = None
    if step < stage.settings.epochs * steps_an_epoch:
        CONSOLE.print(_expectation(stage, network, stage.settings.epochs * steps_an_epoch - step))
    saved_at = time.monotonic()
    with stage_progress() as progress:
        task = progress.add_task(
            stage.title, total=stage.settings.epochs * steps_an_epoch, completed=step, note=""
        )
        while step < stage.settings.epochs * steps_an_epoch:
            epoch, first = divmod(step, steps_an_epoch)
            network.train()
            losses: list[float] = []
            for inputs, labels in _batches(stage, epoch, first):
                losses.append(_step(stage, network, inputs, labels))
                scheduler.step()
                step += 1
                if step % LOG_STEPS == 0 and step % steps_an_epoch:
                    log.write(step, epoch + 1, training_loss=_mean(losses))
                    losses.clear()
                progress.update(task, completed=step, note=f"loss {losses[-1] if losses else 0:.4g}")
                if step % steps_an_epoch and time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    _save(stage, scheduler, identity, step)
                    saved_at = time.monotonic()
            validation = stage.validate(network.eval())
            log.write(step, epoch + 1, training_loss=_mean(losses), validation=validation)
            plot_log(log.path, stage.folder / "loss.png", stage.title)
            _save(stage, scheduler, identity, step)
            saved_at = time.monotonic()
            progress.console.print(
                f"{stage.title}: epoch {epoch + 1} of {stage.settings.epochs}, held-out pictures: "
                f"loss {validation.loss:.4g}, accuracy {validation.accuracy:.2%}"
            )
    return Fitted(validation=validation or stage.validate(network.eval()), seconds=log.seconds())


def _expectation(stage: Stage, network: nn.Module, steps: int) -> str:
    """Time forward and backward on two batches, without learning from them."""
    random = _random_state()
    for inputs, labels in islice(_batches(stage, 0, 0), 2):
        started = time.monotonic()
        _backward(stage, network.train(), inputs, labels)
    seconds = time.monotonic() - started
    stage.optimizer.zero_grad(set_to_none=True)
    _set_random_state(random)
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
    count = len(stage.source.labels)
    order = rng.permutation(count)
    variants = rng.integers(stage.source.variants, size=count)
    starts = range(
        first * stage.settings.batch, _steps_an_epoch(stage) * stage.settings.batch, stage.settings.batch
    )

    def fetch(start: int) -> tuple[Tensor, Tensor]:
        chosen = order[start : start + stage.settings.batch]
        inputs = stage.source.batch(chosen, variants[chosen])
        labels = torch.from_numpy(stage.source.labels[chosen])
        device = stage.compute.device
        if inputs.dim() == 4:
            inputs = inputs.to(memory_format=torch.channels_last)
        return inputs.to(device, torch.float32), labels.to(device)

    with ThreadPoolExecutor(1) as pool:
        upcoming = None
        for start in starts:
            batch = upcoming.result() if upcoming else fetch(start)
            if start + stage.settings.batch in starts:
                upcoming = pool.submit(fetch, start + stage.settings.batch)
            yield batch


def _steps_an_epoch(stage: Stage) -> int:
    return math.ceil(len(stage.source.labels) / stage.settings.batch)


def _rate_curve(stage: Stage) -> Callable[[int], float]:
    """Factor of the rate at a step: 1, or up a line and down a half cosine."""
    total = stage.settings.epochs * _steps_an_epoch(stage)
    rise = max(1, round(_WARM_UP * total))

    def one_cycle(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))

    return one_cycle if stage.settings.schedule == "one-cycle" else lambda _: 1.0


def _identity(stage: Stage) -> dict[str, JsonValue]:
    """Everything that decides how the training goes."""
    return {
        "settings": stage.settings.model_dump(mode="json"),
        "source": dict(stage.source.identity),
        "start": state_digest(stage.network),
        "seed": stage.seed,
    }


def _save(stage: Stage, scheduler: LRScheduler, identity: dict[str, JsonValue], step: int) -> None:
    partial = stage.folder / "checkpoint.partial"
    torch.save(
        {
            "identity": identity,
            "step": step,
            "network": stage.network.state_dict(),
            "optimizer": stage.optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "random": _random_state(),
        },
        partial,
    )
    partial.replace(stage.folder / "checkpoint.pt")


def _restore(stage: Stage, scheduler: LRScheduler, identity: dict[str, JsonValue]) -> int:
    file = stage.folder / "checkpoint.pt"
    if not file.exists():
        return 0
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        found = state["identity"]
        different = ", ".join(name for name in identity if found.get(name) != identity[name])
        if different:
            raise TrainingError(
                f"{file} is of a training with another {different}; repeat that, or leave out --resume"
            )
        stage.network.load_state_dict(state["network"])
        stage.optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        _set_random_state(state["random"])
    except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as exc:
        raise TrainingError(f"{file} does not fit this training ({exc}); leave out --resume") from exc
    return int(state["step"])


def _random_state() -> list[Tensor]:
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def _set_random_state(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    torch.cuda.set_rng_state_all(states[1:])


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


class _Log:
    """A CSV file; on resumption what was written after the checkpoint is dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept: list[dict[str, str]] = []
        if step and path.exists():
            with path.open(newline="") as stream:
                kept = [row for row in csv.DictReader(stream) if int(row["step"]) <= step]
        self._spent = float(kept[-1]["seconds"]) if kept else 0.0
        self._started = time.monotonic()
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, _LOG_FIELDS)
            writer.writeheader()
            writer.writerows(kept)

    def seconds(self) -> float:
        return self._spent + time.monotonic() - self._started

    def write(
        self,
        step: int,
        epoch: int,
        *,
        training_loss: float | None,
        validation: Validation | None = None,
    ) -> None:
        row = {
            "step": step,
            "epoch": epoch,
            "training_loss": training_loss,
            "validation_loss": validation.loss if validation else None,
            "validation_accuracy": validation.accuracy if validation else None,
            "seconds": round(self.seconds(), 1),
        }
        with self.path.open("a", newline="") as stream:
            csv.DictWriter(stream, _LOG_FIELDS).writerow(row)
