"""Checkpoints: a training that was stopped goes on as if it had not been."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from splitwire.models.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

SECONDS = 240
"""How much of a training is lost at most when it is stopped."""


@dataclass(kw_only=True)
class Checkpoint:
    """A file with the state of a training.

    ``identity``: everything that decides how the training goes; another one is not continued.
    """

    file: Path
    identity: Mapping[str, JsonValue]
    network: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler

    def __post_init__(self) -> None:
        """Count the time from here."""
        self._saved = time.monotonic()

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
                "random": random_state(),
            },
            partial,
        )
        partial.replace(self.file)
        self._saved = time.monotonic()

    def save_when_due(self, step: int) -> None:
        """Save if ``SECONDS`` have passed since the last time."""
        if time.monotonic() - self._saved > SECONDS:
            self.save(step)

    def restore(self) -> int:
        """Load the state: the number of steps that were made, 0 where there is no file.

        Raises:
            TrainingError: the file is damaged, or of another training.

        """
        if not self.file.exists():
            return 0
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
            self._check(state["identity"])
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            set_random_state(state["random"])
        except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as exc:
            raise TrainingError(
                f"{self.file} does not fit this training ({exc}); leave out --resume"
            ) from exc
        return int(state["step"])

    def _check(self, found: Mapping[str, JsonValue]) -> None:
        different = ", ".join(name for name in self.identity if found.get(name) != self.identity[name])
        if different:
            raise TrainingError(
                f"{self.file} is of a training with another {different}; repeat that, or leave out --resume"
            )


def random_state() -> list[Tensor]:
    """Read torch's random generators: the CPU's, then each GPU's."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def set_random_state(states: list[Tensor]) -> None:
    """Put back what ``random_state`` read."""
    torch.set_rng_state(states[0])
    torch.cuda.set_rng_state_all(states[1:])
