"""The tail: the networks in the cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.errors import ShapeInvalid
from splitwire.models.vgg16 import FEATURE_SHAPE

if TYPE_CHECKING:
    from torch import Size


class Tail(nn.Module):
    """A quality's latents to logits.

    [N, d] ─(synthesis, for q1 ...)─> [N, 128, 5, 5] ─decoder─> [N, 512, 7, 7] ─classifier─> [N, classes]
    """

    def __init__(self, decoder: nn.Module, classifier: nn.Module, synthesis: nn.Module | None = None) -> None:
        super().__init__()
        self.synthesis = synthesis
        self.decoder = decoder
        self.classifier = classifier

    def forward(self, latents: Tensor) -> Tensor:
        """Latents to logits."""
        if self.synthesis is not None:
            latents = self.synthesis(latents).view(-1, *LATENT_SHAPE)
        _expect("latent", latents.shape, LATENT_SHAPE)
        features: Tensor = self.decoder(latents)
        _expect("feature", features.shape, FEATURE_SHAPE)
        logits: Tensor = self.classifier(features)
        return logits


def _expect(what: str, actual: Size, expected: tuple[int, ...]) -> None:
    if tuple(actual[1:]) != expected:
        raise ShapeInvalid(what, expected, tuple(actual[1:]))
