"""A painter: from the latent that a code becomes, back to the picture.

feature ─encoder─> y ─quantise, dequantise─> y_hat ─synthesis (q1 ...)─> 128x5x5 ─painter─> 3x32x32

Who overhears codes has all but the painter: a bundle is public, and with pictures of the same kind it gives him
the codes to train on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, JsonValue
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.device import Compute
from splitwire.models.loading import load_head, load_tails
from splitwire.models.training.data.cache import CachedBatches
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.models.training.stages.stage import StageSettings
from splitwire.shared.bundle import Bundle

SIDE = 32
"""Of a painting, in pixels."""


class PainterSettings(StageSettings):
    """How a painter is trained: AdamW, one cycle of the rate; mean squared error."""

    epochs: int = Field(default=6, gt=0)
    batch: int = Field(default=128, gt=0)
    rate: float = Field(default=2e-3, gt=0)


class Painter(nn.Sequential):
    """Latent to picture: [N, 128, 5, 5] -> 256x8x8 -> 128x16x16 -> [N, 3, 32, 32], 0 to 1."""

    def __init__(self) -> None:
        super().__init__(
            nn.BatchNorm2d(LATENT_SHAPE[0]),
            nn.ConvTranspose2d(LATENT_SHAPE[0], 256, 4, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.ConvTranspose2d(256, 128, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 12, 3, padding=1),
            nn.PixelShuffle(2),
            nn.Sigmoid(),
        )


class Overheard:
    """Latents that codes become, by index: [N, 128, 5, 5], float32.

    Nothing is written and read again: a codec's payload always decodes to the symbols that it was made of.
    """

    variants = 1

    def __init__(self, features: CachedBatches, device: Bundle, cloud: Bundle, quality: str) -> None:
        self._features = features
        self._encoder = load_head(device).outputs[device.quality(quality).output]
        self._codec = device.codec(quality)
        self._synthesis = load_tails(cloud)[quality].synthesis or nn.Identity()
        self.labels = features.labels
        self.identity: Mapping[str, JsonValue] = features.identity

    @torch.no_grad()
    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> Tensor:
        """Encode, quantise, restore."""
        latents = self._encoder(self._features.batch(indices).float()).contiguous().numpy()
        symbols = np.stack([self._codec.quantise(latent) for latent in latents])
        restored: Tensor = self._synthesis(torch.from_numpy(self._codec.dequantise(symbols)))
        return restored.view(-1, *LATENT_SHAPE)


def train_painter(
    overheard: Overheard,
    pictures: Tensor,
    settings: PainterSettings,
    compute: Compute,
    *,
    title: str,
    seed: int,
) -> Painter:
    """Train a painter on pictures [N, 3, 32, 32], uint8, and what was overheard of them."""
    torch.manual_seed(seed)
    painter = Painter().to(compute.device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(painter.parameters(), lr=settings.rate)
    steps = settings.epochs * math.ceil(len(pictures) / settings.batch)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=steps)
    with stage_progress() as progress:
        task = progress.add_task(title, total=steps, note="")
        for _ in range(settings.epochs):
            for chosen in torch.split(torch.randperm(len(pictures)), settings.batch):
                latents = overheard.batch(chosen.numpy())
                latents = latents.to(compute.device).to(memory_format=torch.channels_last)
                with compute.autocast():
                    painted = painter(latents)
                loss = functional.mse_loss(painted.float(), pictures[chosen].to(compute.device) / 255)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                rates.step()
                progress.update(task, advance=1, note=f"loss {float(loss.detach()):.4g}")
    return painter.eval()


def similarity(some: Tensor, others: Tensor) -> Tensor:
    """Compute SSIM of pictures, mean over channels: [N, C, H, W] twice, 0 to 1, at least 11 x 11 -> [N].

    Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment: From Error Visibility to Structural Similarity,
    2004; with their Gaussian window of 11 x 11 and deviation 1.5, where it lies in the picture whole.
    """
    channels = some.shape[1]
    bell = torch.exp(-(torch.arange(-5.0, 6.0, device=some.device) ** 2) / (2 * 1.5**2))
    bell /= bell.sum()
    c1, c2 = 0.01**2, 0.03**2

    def blurred(values: Tensor) -> Tensor:
        across = functional.conv2d(values, bell.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
        return functional.conv2d(across, bell.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)

    mean, other_mean = blurred(some), blurred(others)
    variance = blurred(some**2) - mean**2
    other_variance = blurred(others**2) - other_mean**2
    covariance = blurred(some * others) - mean * other_mean
    alike = (2 * mean * other_mean + c1) / (mean**2 + other_mean**2 + c1)
    alike = alike * (2 * covariance + c2) / (variance + other_variance + c2)
    return alike.mean((1, 2, 3))
