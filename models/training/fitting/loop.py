"""The one training loop: seeded, logged, checkpointed, resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from splitwire.models.device import Compute
from splitwire.models.errors import TrainingError
from splitwire.models.training.data.batches import Batches, ahead, state_digest, variants_of_epoch
from splitwire.models.training.fitting.log import TrainingLog, Validation
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.models.training.fitting.schedule import Course, course
from splitwire.models.training.stages.stage import StageSettings

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 240.0
"""How much of a training is lost at most when it is stopped."""

_LOG_STEPS = 50
_MEASUREMENTS = 40
"""Held-out pictures are measured so often at most, each time after an epoch."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, on what, and how. ``folder``: for log, curves and checkpoint."""

    title: str
    folder: Path
    compute: Compute
    seed: int
    settings: StageSettings
    network: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    loss: nn.Module
    """(network, inputs [N, ...], labels [N] int64) -> scalar; its own weights are not trained."""
    validate: Callable[[], Validation]

    def identity(self) -> dict[str, JsonValue]:
        """Everything that decides how the training goes, but for what it is computed on."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "source": dict(self.batches.identity),
            "start": state_digest(self.network),
            "loss": state_digest(self.loss),
            "seed": self.seed,
        }


def fit(
    training: Training, *, resume: bool, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> tuple[Validation, float]:
    """Train; leave ``log.csv``, ``loss.png`` and ``checkpoint.pt`` in the folder.

    On resumption a checkpoint there is continued, and ends as if it had never stopped;
    a finished one is only validated.

    Returns:
        How the network does at the end, and the seconds that training took, interruptions left out.

    """
    training.folder.mkdir(parents=True, exist_ok=True)
    network = training.network.to(training.compute.device).to(memory_format=torch.channels_last)
    training.loss.to(training.compute.device)
    settings, count = training.settings, len(training.batches.labels)
    steps_an_epoch, steps = math.ceil(count / settings.batch), settings.steps(count)
    rates = course(settings.schedule, network, training.optimizer, steps)
    identity = training.identity()
    torch.manual_seed(training.seed)
    step = _restore(training, identity, rates) if resume else 0
    saved = time.monotonic()
    log = TrainingLog(training.folder / "log.csv", step)
    with stage_progress() as progress:
        task = progress.add_task(training.title, total=steps, completed=step, note="")
        measured_at, validation = step, None
        while step < steps and not rates.over:
            epoch, first = divmod(step, steps_an_epoch)
            network.train()
            losses: list[float] = []
            for inputs, labels in _batches(training, epoch, first):
                losses.append(_step(training, inputs, labels))
                rates.stepped()
                step += 1
                progress.update(task, completed=step, note=f"loss {losses[-1]:.4g}")
                if step % steps_an_epoch:
                    if time.monotonic() - saved > checkpoint_seconds:
                        _save(training, identity, rates, step)
                        saved = time.monotonic()
                    if step % _LOG_STEPS == 0:
                        log.write(step, epoch + 1, losses)
                        losses.clear()
            if step < steps and step - measured_at < steps // _MEASUREMENTS:
                continue
            network.eval()
            validation = training.validate()
            measured_at = step
            rates.measured(validation)
            log.write(step, epoch + 1, losses, validation)
            log.plot(training.folder / "loss.png", training.title)
            _save(training, identity, rates, step)
            saved = time.monotonic()
            progress.console.print(
                f"{training.title}: step {step:,} of at most {steps:,}, held-out pictures: "
                f"loss {validation.loss:.4g}, accuracy {validation.accuracy:.2%}"
            )
    if rates.end() or validation is None:
        network.eval()
        validation = training.validate()
    return validation, log.seconds()


def _save(training: Training, identity: dict[str, JsonValue], rates: Course, step: int) -> None:
    """Replace the checkpoint; whenever this is stopped, one whole file is there."""
    file = training.folder / CHECKPOINT
    partial = file.with_suffix(".partial")
    state = {
        "identity": identity,
        "step": step,
        "network": training.network.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "rates": rates.state_dict(),
        "random": [torch.get_rng_state(), *torch.cuda.get_rng_state_all()],
    }
    torch.save(state, partial)
    partial.replace(file)


def _restore(training: Training, identity: dict[str, JsonValue], rates: Course) -> int:
    """Load the checkpoint: the number of steps that were made, 0 where there is none."""
    file = training.folder / CHECKPOINT
    if not file.exists():
        return 0
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        found = state["identity"]
        different = ", ".join(name for name, value in identity.items() if found.get(name) != value)
        if different:
            raise TrainingError(
                f"{file} is of a training with another {different}; repeat that, or leave out --resume"
            )
        training.network.load_state_dict(state["network"])
        training.optimizer.load_state_dict(state["optimizer"])
        rates.load_state_dict(state["rates"])
        cpu, *gpus = state["random"]
        torch.set_rng_state(cpu)
        torch.cuda.set_rng_state_all(gpus[: torch.cuda.device_count()])
    except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as exc:
        raise TrainingError(f"{file} does not fit this training ({exc}); leave out --resume") from exc
    return int(state["step"])


def _step(training: Training, inputs: Tensor, labels: Tensor) -> float:
    training.optimizer.zero_grad(set_to_none=True)
    with training.compute.autocast():
        loss: Tensor = training.loss(training.network, inputs, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    training.optimizer.step()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"{training.title}: the loss is {value}; lower the rates and start again")
    return value


def _batches(training: Training, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch's batches from number ``first`` on, the next one fetched while one is used."""
    count, size = len(training.batches.labels), training.settings.batch
    order = np.random.default_rng((training.seed, epoch)).permutation(count)
    variants = variants_of_epoch(training.batches.variants, count, epoch, training.seed)

    def fetch(start: int) -> tuple[Tensor, Tensor]:
        chosen = order[start : start + size]
        inputs = training.batches.batch(chosen, variants[chosen])
        labels = torch.from_numpy(training.batches.labels[chosen])
        if inputs.dim() == 4:
            inputs = inputs.to(memory_format=torch.channels_last)
        return inputs.to(training.compute.device, torch.float32), labels.to(training.compute.device)

    yield from ahead(fetch, range(first * size, count, size))
