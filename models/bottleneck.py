"""A learned quality's code: the latent becomes a few integers, each with a probability.

latent 128x5x5 ─analysis─> z, d numbers ─round─> d integers ─synthesis─> latent 128x5x5

Analysis and synthesis are fully connected layers where latents are small, else convolutions: then the numbers are maps.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from splitwire.models.autoencoder import Shrinking, with_relu
from splitwire.models.fallback import fully_connected
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPONENTS = 3
_LEAST_PROBABILITY = 1e-9
_SPREAD = 2.0
_MOST_ELEMENTS, _MOST_NUMBERS = 4096, 128
"""Of a latent and of its code, for fully connected layers."""
_LEAST_CHANNELS = 4
"""Of a code in maps: with fewer, maps are made smaller instead."""


class FactorisedPrior(nn.Module):
    """How likely integers are, each number or map for itself: a mixture of three logistic distributions.

    A number's probability is its distribution's mass from z - 1/2 to z + 1/2 (Ballé, Laparra,
    Simoncelli: End-to-end Optimized Image Compression, 2017; they have another distribution).
    """

    def __init__(self, numbers: int) -> None:
        """Take how many numbers or maps there are."""
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(numbers, _COMPONENTS))
        self.centres = nn.Parameter(torch.linspace(-2, 2, _COMPONENTS).repeat(numbers, 1))
        self.log_scales = nn.Parameter(torch.zeros(numbers, _COMPONENTS))

    def bits(self, numbers: Tensor) -> Tensor:
        """Information of each number: [N, d] -> [N, d], or maps [N, d, rows, columns]."""
        mass = self._cumulative(numbers + 0.5) - self._cumulative(numbers - 0.5)
        return -mass.clamp_min(_LEAST_PROBABILITY).log2()

    def _cumulative(self, numbers: Tensor) -> Tensor:
        standardised = (numbers.movedim(1, -1)[..., None] - self.centres) * (-self.log_scales).exp()
        return (self.weights.softmax(-1) * standardised.sigmoid()).sum(-1).movedim(-1, 1)


def code_shape(latent_shape: Sequence[int], numbers: int) -> tuple[int, ...]:
    """Tell the shape of the integers that a latent becomes, ``numbers`` of them at most.

    A map of over 4,096 elements, or one that becomes over 128 integers, becomes whole maps, halved until four fit.
    """
    if len(latent_shape) != 3 or (math.prod(latent_shape) <= _MOST_ELEMENTS and numbers <= _MOST_NUMBERS):
        return (numbers,)
    _, rows, columns = latent_shape
    while _LEAST_CHANNELS * rows * columns > numbers and max(rows, columns) > 1:
        rows, columns = Shrinking(rows, columns, halves=True).after
    return (max(1, numbers // (rows * columns)), rows, columns)


class Bottleneck(nn.Module):
    """Latent -> (latent, bits): [N, *latent_shape] -> [N, *latent_shape], [N].

    Latent and bits are those of rounded numbers. While training, the latent's gradient passes straight
    through the rounding, and the bits' gradient is that of numbers with uniform noise. Always in float32:
    lower precision has no integers to spare.

    ``code_shape``: of the integers, [d], or maps [channels, rows, columns].
    """

    def __init__(
        self, latent_shape: Sequence[int], code_shape: tuple[int, ...], hidden: Sequence[int]
    ) -> None:
        """Take the shapes of latent and integers (see ``code_shape``), and the widths of the layers between them.

        Integers in maps have convolutions, others fully connected layers.

        Raises:
            SettingsError: the latent's maps, however often halved, don't have the rows and columns of the code's.

        """
        super().__init__()
        self.code_shape = code_shape
        self.in_maps = len(code_shape) > 1
        if self.in_maps:
            channels, rows, columns = latent_shape if len(latent_shape) == 3 else (1, 1, 1)
            steps: list[Shrinking] = []
            while (rows, columns) != code_shape[1:]:
                if max(rows, columns) == 1:
                    raise SettingsError(
                        f"no layers make a code of shape {code_shape} of a latent {latent_shape}"
                    )
                steps.append(Shrinking(rows, columns, halves=True))
                rows, columns = steps[-1].after
            widths = (channels, *hidden)
            mixing = [nn.Conv2d(*pair, 1) for pair in pairwise(widths)]
            halving = [step.convolution(widths[-1], widths[-1]) for step in steps]
            self.analysis = with_relu([*mixing, *halving, nn.Conv2d(widths[-1], code_shape[0], 1)])
            doubling = [step.transposed(widths[-1], widths[-1]) for step in reversed(steps)]
            unmixing = [nn.Conv2d(*pair, 1) for pair in pairwise(reversed(widths))]
            self.synthesis = with_relu([nn.Conv2d(code_shape[0], widths[-1], 1), *doubling, *unmixing])
        else:
            widths = (math.prod(latent_shape), *hidden, *code_shape)
            self.analysis, self.synthesis = fully_connected(widths), fully_connected(widths[::-1])
        self.prior = FactorisedPrior(code_shape[0])

    @torch.no_grad()
    def spread(self, latents: Tensor) -> None:
        """Scale fresh weights so that each number has mean 0 and deviation 2: rounded, most would be 0."""
        numbers = self._analysed(latents).movedim(1, -1).flatten(0, -2)
        weight, bias = self.analysis[-1].parameters()
        factor = _SPREAD / numbers.std(0).clamp_min(1e-6)
        weight.mul_(factor.view(-1, *(1,) * (weight.ndim - 1)))
        bias.sub_(numbers.mean(0)).mul_(factor)

    def integers(self, latent: Tensor) -> Tensor:
        """Round what the analysis makes of latents: [N, *latent_shape] -> [N, *code_shape], float32."""
        with torch.autocast(latent.device.type, enabled=False):
            return self._analysed(latent).round()

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Squeeze latents through."""
        with torch.autocast(latent.device.type, enabled=False):
            numbers = self._analysed(latent)
            integers = numbers + (numbers.round() - numbers).detach()
            bits = self.prior.bits(integers.detach()).flatten(1).sum(1)
            if self.training:
                noisy = self.prior.bits(numbers + torch.rand_like(numbers) - 0.5).flatten(1).sum(1)
                bits = noisy + (bits - noisy).detach()
            return self.synthesis(integers).view_as(latent), bits

    def _analysed(self, latent: Tensor) -> Tensor:
        latent = latent.float()
        numbers: Tensor = self.analysis(latent if self.in_maps else latent.flatten(1))
        return numbers
