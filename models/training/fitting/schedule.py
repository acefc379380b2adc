"""The course of a training's rates, and when it has gone on for long enough."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.stages.stage import Schedule

_WARM_UP = 0.15
"""Share of the steps in which a one-cycle rate rises."""
_PATIENCE = 3
"""So many measurements in a row without a better one are a plateau."""
_LOWER = 0.3
_LOWERED_AT_MOST = 1


class Course(ABC):
    """Sets an optimiser's rates during a training."""

    over = False
    """Whether going on would not help."""

    @abstractmethod
    def stepped(self) -> None:
        """Go on after a step."""

    @abstractmethod
    def measured(self, validation: Validation) -> None:
        """Take note of how held-out pictures do."""

    def end(self) -> bool:
        """Leave the network with the weights that count; tell whether these are others than it had."""
        return False

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what ``load_state_dict`` takes."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


def course(schedule: Schedule, network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> Course:
    """Build a course over at most so many steps."""
    if schedule == "plateau":
        return _Plateaus(network, optimizer)
    return _Curve(optimizer, _one_cycle(steps) if schedule == "one-cycle" else lambda _: 1.0)


class _Curve(Course):
    """Rates as a function of the step; the last weights count."""

    def __init__(self, optimizer: torch.optim.Optimizer, factor: Callable[[int], float]) -> None:
        self._scheduler = LambdaLR(optimizer, factor)

    def stepped(self) -> None:
        self._scheduler.step()

    def measured(self, validation: Validation) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return self._scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scheduler.load_state_dict(dict(state))


class _Plateaus(Course):
    """Rates fall where held-out pictures show no gain; the best weights count: by accuracy, then by loss."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._network = network
        self._optimizer = optimizer
        self._score = (-math.inf, -math.inf)
        self._best: Mapping[str, Any] = {}
        self._waited = self._lowered = 0

    @property
    def over(self) -> bool:  # type: ignore[override]
        return self._lowered > _LOWERED_AT_MOST

    def stepped(self) -> None:
        pass

    def measured(self, validation: Validation) -> None:
        score = validation.accuracy, -validation.loss
        self._waited += 1
        if score > self._score:
            self._score, self._best, self._waited = score, copy.deepcopy(self._network.state_dict()), 0
        if self._waited == _PATIENCE:
            self._waited = 0
            self._lowered += 1
            for group in self._optimizer.param_groups:
                group["lr"] *= _LOWER

    def end(self) -> bool:
        self._network.load_state_dict(self._best)
        return True

    def state_dict(self) -> dict[str, Any]:
        progress = (self._waited, self._lowered)
        return {"score": self._score, "best": self._best, "progress": progress}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._score, self._best = state["score"], state["best"]
        self._waited, self._lowered = state["progress"]


def _one_cycle(steps: int) -> Callable[[int], float]:
    """Up a line, and down a half cosine."""
    rise = max(1, round(_WARM_UP * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))

    return factor
