"""Head and tail: the network on either side of the wire.

picture 3x224x224 ─Head─> latent 128x5x5 ─ ... wire ... ─> latent 128x5x5 ─Tail─> logits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.errors import ShapeInvalid
from splitwire.models.vgg16 import BLOCK_SHAPES, FEATURE_SHAPE

if TYPE_CHECKING:
    from torch import Size

PICTURE_SHAPE = BLOCK_SHAPES[0]


class Head(nn.Module):
    """The device's part: [N, 3, 224, 224] -> [N, 512, 7, 7] -> [N, 128, 5, 5]."""

    def __init__(self, convolutions: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.encoder = encoder

    def forward(self, pictures: Tensor) -> Tensor:
        """Picture to latent.

        Raises:
            ShapeInvalid: a picture, or what a part makes of it, has an unexpected shape.

        """
        _expect("picture", pictures.shape, PICTURE_SHAPE)
        features: Tensor = self.convolutions(pictures)
        _expect("feature", features.shape, FEATURE_SHAPE)
        latents: Tensor = self.encoder(features)
        _expect("latent", latents.shape, LATENT_SHAPE)
        return latents


class Tail(nn.Module):
    """The cloud's part: [N, 128, 5, 5] -> [N, 512, 7, 7] -> [N, classes]."""

    def __init__(self, decoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.classifier = classifier

    def forward(self, latents: Tensor) -> Tensor:
        """Latent to logits.

        Raises:
            ShapeInvalid: a latent, or what the decoder makes of it, has an unexpected shape.

        """
        _expect("latent", latents.shape, LATENT_SHAPE)
        features: Tensor = self.decoder(latents)
        _expect("feature", features.shape, FEATURE_SHAPE)
        logits: Tensor = self.classifier(features)
        return logits


def _expect(what: str, actual: Size, expected: tuple[int, ...]) -> None:
    if tuple(actual[1:]) != expected:
        raise ShapeInvalid(what, expected, tuple(actual[1:]))
