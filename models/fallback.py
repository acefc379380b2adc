"""The device's own small classifier, on the feature that the codes are made of."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from splitwire.models.vgg16 import FEATURE_SHAPE

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fallback(nn.Module):
    """[N, 512, 7, 7] -> mean of each channel, 512 -> hidden layers with ReLU -> logits [N, classes]."""

    def __init__(self, classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, following in pairwise((FEATURE_SHAPE[0], *hidden, classes)):
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, feature: Tensor) -> Tensor:
        """Feature to logits."""
        logits: Tensor = self.layers(feature.mean(dim=(2, 3)))
        return logits
