"""VGG16 (Simonyan and Zisserman, 2014), cut after its last pooling.

    3x224x224 ─block 1─> 64x112x112 ─2─> 128x56x56 ─3─> 256x28x28 ─4─> 512x14x14 ─5─> 512x7x7

Layers are numbered as in torchvision, so that its weights ``IMAGENET1K_FEATURES`` load as they
are; a test compares the two networks.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

CUT = "features.30"
"""The paper's."""
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def convolutions() -> nn.Sequential:
    """Build the 13 convolutions and 5 poolings: [N, 3, 224, 224] -> [N, 512, 7, 7], float32."""
    layers: list[nn.Module] = []
    channels = 3
    for block in _BLOCKS:
        for width in block:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG16(nn.Module):
    """The whole network: picture [N, 3, 224, 224] to logits [N, classes]."""

    def __init__(self, classes: int, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5) -> None:
        super().__init__()
        self.features = convolutions()
        self.classifier = Classifier(classes, hidden, dropout)

    def forward(self, pictures: Tensor) -> Tensor:
        """Picture to logits."""
        logits: Tensor = self.classifier(self.features(pictures))
        return logits


class Classifier(nn.Module):
    """The fully connected classifier.

    [N, 512, 7, 7] -> flat 25,088 -> hidden[0] -> hidden[1] -> logits [N, classes]

    ReLU and dropout follow each hidden layer, as in VGG16, whose hidden widths are (4096, 4096). At first all positions
    of a map have the same weight, so that few pictures teach no more than its mean.
    """

    def __init__(self, classes: int, hidden: Sequence[int] = (4096, 4096), dropout: float = 0.5) -> None:
        super().__init__()
        widths = (512 * 7 * 7, *hidden)
        layers: list[nn.Module] = []
        for width, following in pairwise(widths):
            layers += [nn.Linear(width, following), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        layers.append(nn.Linear(widths[-1], classes))
        self.layers = nn.Sequential(*layers)
        with torch.no_grad():
            by_channel = next(self.layers.parameters()).view(-1, 512, 7 * 7)
            by_channel.copy_(by_channel.mean(2, keepdim=True))

    def forward(self, feature: Tensor) -> Tensor:
        """Feature to logits."""
        logits: Tensor = self.layers(feature.flatten(1))
        return logits
