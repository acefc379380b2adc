"""A learned quality's code: the latent becomes a few integers, each with a probability.

latent 128x5x5 ─analysis─> z, d numbers ─round─> d integers ─synthesis─> latent 128x5x5
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.fallback import fully_connected

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPONENTS = 3
_LEAST_PROBABILITY = 1e-9
_SPREAD = 2.0


class FactorisedPrior(nn.Module):
    """How likely integers are, each number for itself: a mixture of three logistic distributions.

    A number's probability is its distribution's mass from z - 1/2 to z + 1/2 (Ballé, Laparra,
    Simoncelli: End-to-end Optimized Image Compression, 2017; they have another distribution).
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(numbers, _COMPONENTS))
        self.centres = nn.Parameter(torch.linspace(-2, 2, _COMPONENTS).repeat(numbers, 1))
        self.log_scales = nn.Parameter(torch.zeros(numbers, _COMPONENTS))

    def bits(self, numbers: Tensor) -> Tensor:
        """Information of each number: [N, d] -> [N, d]."""
        mass = self._cumulative(numbers + 0.5) - self._cumulative(numbers - 0.5)
        return -mass.clamp_min(_LEAST_PROBABILITY).log2()

    def _cumulative(self, numbers: Tensor) -> Tensor:
        standardised = (numbers[..., None] - self.centres) * (-self.log_scales).exp()
        return (self.weights.softmax(-1) * standardised.sigmoid()).sum(-1)


class Bottleneck(nn.Module):
    """Latent -> (latent, bits): [N, 128, 5, 5] -> [N, 128, 5, 5], [N].

    Latent and bits are those of rounded numbers. While training, the latent's gradient passes straight
    through the rounding, and the bits' gradient is that of numbers with uniform noise. Always in float32:
    lower precision has no integers to spare.
    """

    def __init__(self, numbers: int, hidden: Sequence[int]) -> None:
        super().__init__()
        elements = math.prod(LATENT_SHAPE)
        self.analysis = fully_connected((elements, *hidden, numbers))
        self.synthesis = fully_connected((numbers, *reversed(hidden), elements))
        self.prior = FactorisedPrior(numbers)

    @torch.no_grad()
    def spread(self, latents: Tensor) -> None:
        """Scale fresh weights so that each number has mean 0 and deviation 2: rounded, most would be 0."""
        numbers = self.analysis(latents.flatten(1))
        weight, bias = self.analysis[-1].parameters()
        factor = _SPREAD / numbers.std(0).clamp_min(1e-6)
        weight.mul_(factor[:, None])
        bias.sub_(numbers.mean(0)).mul_(factor)

    def integers(self, latent: Tensor) -> Tensor:
        """Round what the analysis makes of a latent: [N, 128, 5, 5] -> [N, d], float32."""
        with torch.autocast(latent.device.type, enabled=False):
            numbers: Tensor = self.analysis(latent.float().flatten(1))
            return numbers.round()

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Squeeze a latent through."""
        with torch.autocast(latent.device.type, enabled=False):
            numbers: Tensor = self.analysis(latent.float().flatten(1))
            integers = numbers + (numbers.round() - numbers).detach()
            bits = self.prior.bits(integers.detach()).sum(1)
            if self.training:
                noisy = self.prior.bits(numbers + torch.rand_like(numbers) - 0.5).sum(1)
                bits = noisy + (bits - noisy).detach()
            return self.synthesis(integers).view_as(latent), bits
