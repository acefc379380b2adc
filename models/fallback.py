"""Fully connected layers, and the device's own small classifier made of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from splitwire.models.vgg16 import FEATURE_SHAPE

if TYPE_CHECKING:
    from collections.abc import Sequence


def fully_connected(sizes: Sequence[int]) -> nn.Sequential:
    """Build layers from sizes[0] numbers to sizes[1] and so on, with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Fallback(nn.Module):
    """[N, 512, 7, 7] -> mean of each channel, 512 -> hidden layers with ReLU -> logits [N, classes]."""

    def __init__(self, classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.layers = fully_connected((FEATURE_SHAPE[0], *hidden, classes))

    def forward(self, feature: Tensor) -> Tensor:
        """Feature to logits."""
        logits: Tensor = self.layers(feature.mean(dim=(2, 3)))
        return logits
