"""The device's own small classifier, on the feature that the codes are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from splitwire.models.layers import fully_connected
from splitwire.models.vgg16 import FEATURE_SHAPE

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fallback(nn.Module):
    """[N, 512, 7, 7] -> mean of each channel, 512 -> hidden layers with ReLU -> logits [N, classes]."""

    def __init__(self, classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.layers = fully_connected((FEATURE_SHAPE[0], *hidden, classes))

    def forward(self, feature: Tensor) -> Tensor:
        """Feature to logits."""
        logits: Tensor = self.layers(feature.mean(dim=(2, 3)))
        return logits
