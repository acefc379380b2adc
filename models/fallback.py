"""Fully connected layers, and the device's own small classifier made of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


def fully_connected(sizes: Sequence[int]) -> nn.Sequential:
    """Build layers from sizes[0] numbers to sizes[1] and so on, with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Fallback(nn.Module):
    """Mean of each of a feature's channels -> hidden layers with ReLU -> logits [N, classes].

    A feature is [N, channels, rows, columns], or [N, channels] after a global pooling.
    """

    def __init__(self, channels: int, classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.layers = fully_connected((channels, *hidden, classes))

    def forward(self, feature: Tensor) -> Tensor:
        """Feature to logits."""
        means = feature.mean(dim=(2, 3)) if feature.ndim > 2 else feature
        logits: Tensor = self.layers(means)
        return logits
