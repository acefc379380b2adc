"""Autoencoders of a feature: the paper's, and the same idea for features of other shapes.

    512x7x7 ─1x1─> 256x7x7 ─1x1─> 128x7x7 ─3x3─> 128x5x5    the paper's encoder
    C x H x W ─1x1─> C/2 ─1x1─> C/4 ─3x3─> C/4 x h x w      maps; with strides where they are larger
    C ─> C/2 ─> C/4                                         numbers, after a global pooling: linear layers

A decoder is the mirror. Go, Kwon, Kim: "Compression method of feature based on CNN image classification network
using Autoencoder" (Kyung Hee University). The paper names no activations; docs/adr/0003 records ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from splitwire.models.fallback import fully_connected
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

LATENT_SHAPE = (128, 5, 5)
"""The paper's."""
_LARGE_SIDE, _MIDDLE_SIDE, _SMALLEST_SIDE = 14, 9, 5


class Shrinking(NamedTuple):
    """A 3x3 convolution that makes maps smaller, and the transposed one that restores them."""

    rows: int
    columns: int
    halves: bool
    """With stride 2; else two pixels are lost on each side."""

    @property
    def after(self) -> tuple[int, int]:
        """Rows and columns of what it makes."""
        rows, columns = self.rows, self.columns
        return ((rows + 1) // 2, (columns + 1) // 2) if self.halves else (rows - 2, columns - 2)

    def convolution(self, inputs: int, outputs: int) -> nn.Conv2d:
        """Build it, for maps of ``rows`` x ``columns``."""
        return nn.Conv2d(inputs, outputs, 3, stride=1 + self.halves, padding=int(self.halves))

    def transposed(self, inputs: int, outputs: int) -> nn.ConvTranspose2d:
        """Build the one that gives maps of ``rows`` x ``columns``, odd or even."""
        missing = ((self.rows + 1) % 2, (self.columns + 1) % 2) if self.halves else 0
        stride, padding = 1 + self.halves, int(self.halves)
        return nn.ConvTranspose2d(inputs, outputs, 3, stride, padding, missing)


class Autoencoder(nn.Module):
    """Encoder and decoder as one network, for training: feature -> feature."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, feature: Tensor) -> Tensor:
        """Reconstruct features: [N, *feature_shape] -> [N, *feature_shape]."""
        reconstruction: Tensor = self.decoder(self.encoder(feature))
        return reconstruction


def cae(feature_shape: Sequence[int], *, negative: bool = False) -> Autoencoder:
    """Build the convolutional autoencoder of a feature; for (512, 7, 7) the paper's, 311,808 + 312,192 parameters.

    Args:
        feature_shape: channels, rows, columns; or channels alone, for linear layers.
        negative: whether features may have negative numbers (``Cut.negative``). Where not, the decoder ends with ReLU.

    Raises:
        SettingsError: there is none for features of this shape.

    """
    widths, shrinking = _plan(feature_shape)
    ends = () if negative else (nn.ReLU(),)
    if len(feature_shape) == 1:
        decoder = fully_connected(widths[::-1])
        return Autoencoder(fully_connected(widths), decoder.extend(ends))
    channels, half, quarter = widths
    encoder = (
        nn.Conv2d(channels, half, 1),
        nn.Conv2d(half, quarter, 1),
        *(step.convolution(quarter, quarter) for step in shrinking),
    )
    decoding = (
        *(step.transposed(quarter, quarter) for step in reversed(shrinking)),
        nn.ConvTranspose2d(quarter, half, 1),
        nn.ConvTranspose2d(half, channels, 1),
    )
    return Autoencoder(with_relu(encoder), with_relu(decoding).extend(ends))


def latent_shape(feature_shape: Sequence[int]) -> tuple[int, ...]:
    """Tell what the encoder of ``cae`` makes of a feature.

    Raises:
        SettingsError: there is none for features of this shape.

    """
    widths, shrinking = _plan(feature_shape)
    return (widths[-1], *(shrinking[-1].after if shrinking else feature_shape[1:]))


def sae(feature_shape: Sequence[int]) -> Autoencoder:
    """Build the fully connected one, with a latent of the same size.

    For (512, 7, 7) it is 25,088 -> 3,200 -> 25,088: 80,284,800 + 80,306,688 parameters.
    """
    latent = latent_shape(feature_shape)
    feature_elements, latent_elements = math.prod(feature_shape), math.prod(latent)
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(feature_elements, latent_elements), nn.Unflatten(1, latent)
    )
    decoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(latent_elements, feature_elements),
        nn.ReLU(),
        nn.Unflatten(1, tuple(feature_shape)),
    )
    return Autoencoder(encoder, decoder)


def with_relu(layers: Sequence[nn.Module]) -> nn.Sequential:
    """Put ReLU between layers."""
    alternating = [module for layer in layers for module in (layer, nn.ReLU())]
    return nn.Sequential(*alternating[:-1])


def _plan(feature_shape: Sequence[int]) -> tuple[tuple[int, int, int], list[Shrinking]]:
    """Choose the encoder's widths, and what makes its maps smaller.

    Large maps are halved until they have at most 14 rows and columns, middle ones once. Small ones lose a pixel all
    round, as in the paper, and the smallest nothing.
    """
    channels, *sides = feature_shape
    widths = (channels, max(1, channels // 2), max(1, channels // 4))
    if not sides:
        return widths, []
    channels_last = len(sides) == 2 and sides[0] == channels != sides[1]  # maps of square pictures are square
    if len(sides) != 2 or channels_last:
        raise SettingsError(
            f"no autoencoder for features of shape {tuple(feature_shape)}; choose a cut with channels, rows and "
            "columns, or one behind the last pooling"
        )
    rows, columns = sides
    steps: list[Shrinking] = []
    while max(rows, columns) > _LARGE_SIDE or (not steps and max(rows, columns) > _MIDDLE_SIDE):
        steps.append(Shrinking(rows, columns, halves=True))
        rows, columns = steps[-1].after
    if not steps and min(rows, columns) >= _SMALLEST_SIDE:
        steps.append(Shrinking(rows, columns, halves=False))
    return widths, steps
