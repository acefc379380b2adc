"""The paper's two autoencoders of the feature.

Go, Kwon, Kim: "Compression method of feature based on CNN image classification network using
Autoencoder" (Kyung Hee University). The paper names no activations; docs/adr/0003 records ours.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from splitwire.models.vgg16 import FEATURE_SHAPE

LATENT_SHAPE = (128, 5, 5)


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


def convolutional_encoder() -> nn.Sequential:
    """Build the CAE's encoder: [N, 512, 7, 7] -> 256x7x7 -> 128x7x7 -> [N, 128, 5, 5]; 311,808 parameters."""
    return nn.Sequential(
        nn.Conv2d(512, 256, 1),
        nn.ReLU(),
        nn.Conv2d(256, 128, 1),
        nn.ReLU(),
        nn.Conv2d(128, 128, 3),
    )


def convolutional_decoder() -> nn.Sequential:
    """Build the CAE's decoder: [N, 128, 5, 5] -> 128x7x7 -> 256x7x7 -> [N, 512, 7, 7], not negative; 312,192."""
    return nn.Sequential(
        nn.ConvTranspose2d(128, 128, 3),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 256, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 512, 1),
        nn.ReLU(),
    )


def cae() -> Autoencoder:
    """Build the convolutional autoencoder."""
    return Autoencoder(convolutional_encoder(), convolutional_decoder())


def sae() -> Autoencoder:
    """Build the fully connected one, 25,088 -> 3,200 -> 25,088: 80,284,800 + 80,306,688 parameters."""
    feature, latent = math.prod(FEATURE_SHAPE), math.prod(LATENT_SHAPE)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(feature, latent), nn.Unflatten(1, LATENT_SHAPE))
    decoder = nn.Sequential(
        nn.Flatten(), nn.Linear(latent, feature), nn.ReLU(), nn.Unflatten(1, FEATURE_SHAPE)
    )
    return Autoencoder(encoder, decoder)
