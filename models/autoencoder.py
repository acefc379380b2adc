"""The paper's two autoencoders of the feature.

Go, Kwon, Kim: "Compression method of feature based on CNN image classification network using
Autoencoder" (Kyung Hee University). The paper names no activations; docs/adr/0003 records ours.
"""

from __future__ import annotations

from torch import Tensor, nn

from splitwire.models.vgg16 import FEATURE_SHAPE

LATENT_SHAPE = (128, 5, 5)
_FEATURE_ELEMENTS = 512 * 7 * 7
_LATENT_ELEMENTS = 128 * 5 * 5


class ConvolutionalEncoder(nn.Sequential):
    """Feature to latent: [N, 512, 7, 7] -> 256x7x7 -> 128x7x7 -> [N, 128, 5, 5]."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(512, 256, 1),
            nn.ReLU(),
            nn.Conv2d(256, 128, 1),
            nn.ReLU(),
            nn.Conv2d(128, 128, 3),
        )


class ConvolutionalDecoder(nn.Sequential):
    """Latent to feature: [N, 128, 5, 5] -> 128x7x7 -> 256x7x7 -> [N, 512, 7, 7], not negative."""

    def __init__(self) -> None:
        super().__init__(
            nn.ConvTranspose2d(128, 128, 3),
            nn.ReLU(),
            nn.ConvTranspose2d(128, 256, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(256, 512, 1),
            nn.ReLU(),
        )


class FullyConnectedEncoder(nn.Sequential):
    """Feature to latent, the SAE's way: [N, 512, 7, 7] -> 25,088 -> 3,200 as [N, 128, 5, 5]."""

    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(_FEATURE_ELEMENTS, _LATENT_ELEMENTS),
            nn.Unflatten(1, LATENT_SHAPE),
        )


class FullyConnectedDecoder(nn.Sequential):
    """Latent to feature, the SAE's way: [N, 128, 5, 5] as 3,200 -> 25,088 -> [N, 512, 7, 7]."""

    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(_LATENT_ELEMENTS, _FEATURE_ELEMENTS),
            nn.ReLU(),
            nn.Unflatten(1, FEATURE_SHAPE),
        )


class Autoencoder(nn.Module):
    """Encoder and decoder as one network, for training: feature -> feature."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, feature: Tensor) -> Tensor:
        """Reconstruct a feature: [N, 512, 7, 7] -> [N, 512, 7, 7]."""
        reconstruction: Tensor = self.decoder(self.encoder(feature))
        return reconstruction


def cae() -> Autoencoder:
    """Build the convolutional autoencoder: 311,808 + 312,192 parameters."""
    return Autoencoder(ConvolutionalEncoder(), ConvolutionalDecoder())


def sae() -> Autoencoder:
    """Build the fully connected one: 80,284,800 + 80,306,688 parameters."""
    return Autoencoder(FullyConnectedEncoder(), FullyConnectedDecoder())
