"""Checkpoints: a training that was stopped goes on as if it had not been."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import torch
from pydantic import JsonValue
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from splitwire.models.errors import TrainingError


@dataclass(kw_only=True)
class Checkpoint:
    """A file with the state of a training.

    ``identity``: everything that decides how the training goes; another one is not continued. ``every``: seconds
    between two checkpoints.
    """

    file: Path
    identity: Mapping[str, JsonValue]
    network: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    every: float
    saved: float = field(default_factory=time.monotonic)

    def save(self, step: int) -> None:
        """Replace the file; whenever this is stopped, one whole file is there."""
        partial = self.file.with_suffix(".partial")
        torch.save(
            {
                "identity": self.identity,
                "step": step,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "random": [torch.get_rng_state(), *torch.cuda.get_rng_state_all()],
            },
            partial,
        )
        partial.replace(self.file)
        self.saved = time.monotonic()

    def save_when_due(self, step: int) -> None:
        """Save if ``every`` seconds have passed since the last time."""
        if time.monotonic() - self.saved > self.every:
            self.save(step)

    def restore(self) -> int:
        """Load the state: the number of steps that were made, 0 where there is no file."""
        if not self.file.exists():
            return 0
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
            found = state["identity"]
            different = ", ".join(name for name, value in self.identity.items() if found.get(name) != value)
            if different:
                raise TrainingError(
                    f"{self.file} is of a training with another {different}; repeat that, or leave out --resume"
                )
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            cpu, *gpus = state["random"]
            torch.set_rng_state(cpu)
            torch.cuda.set_rng_state_all(gpus[: torch.cuda.device_count()])
        except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as exc:
            raise TrainingError(
                f"{self.file} does not fit this training ({exc}); leave out --resume"
            ) from exc
        return int(state["step"])
