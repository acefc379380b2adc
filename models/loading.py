"""The networks of a model bundle, float32 and not to be trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from splitwire.models.autoencoder import LATENT_SHAPE, convolutional_decoder, convolutional_encoder
from splitwire.models.fallback import Fallback, fully_connected
from splitwire.models.vgg16 import Classifier, convolutions
from splitwire.shared.bundle import ANALYSIS, CLASSIFIER, CONVOLUTIONS, DECODER, ENCODER, FALLBACK, SYNTHESIS
from splitwire.shared.errors import BundleInvalid

if TYPE_CHECKING:
    from splitwire.shared.bundle import Bundle

_ELEMENTS = math.prod(LATENT_SHAPE)
_SHAPES_ONLY = torch.device("meta")
"""What a manifest asks for takes memory only once the weights fit it."""


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
        logits: Tensor = self.classifier(self.decoder(latents))
        return logits


def load_convolutions(bundle: Bundle) -> nn.Sequential:
    """Build the convolutions that all qualities share, channels last.

    Raises:
        BundleInvalid: the weights are not those of the network.

    """
    with _SHAPES_ONLY:
        network = convolutions()
    fill(network, CONVOLUTIONS, bundle, None)
    return network.eval().to(memory_format=torch.channels_last)


def load_encoder(bundle: Bundle, quality: str) -> nn.Module:
    """Build a quality's encoder, channels last: features [N, 512, 7, 7] to latents [N, 128, 5, 5] or [N, d].

    Raises:
        BundleInvalid: the weights are not those of the networks.

    """
    network = fill(convolutional_encoder(), ENCODER, bundle, quality)
    numbers = math.prod(bundle.codec(quality).latent_shape)
    if numbers != _ELEMENTS:
        analysis = _fully_connected(bundle, quality, ANALYSIS, _ELEMENTS, numbers)
        network = nn.Sequential(network, nn.Flatten(), analysis)
    return network.eval().to(memory_format=torch.channels_last)


def load_tails(bundle: Bundle) -> dict[str, Tail]:
    """Build the tail of every quality; what they share is loaded once.

    Raises:
        BundleInvalid: the weights are not those of the networks.

    """
    manifest = bundle.manifest
    with _SHAPES_ONLY:
        classifier = Classifier(len(manifest.classes), manifest.hidden)
    fill(classifier, CLASSIFIER, bundle, None)
    shared: dict[tuple[object, ...], Tail] = {}
    tails: dict[str, Tail] = {}
    for name, quality in manifest.qualities.items():
        files = tuple(
            file
            for file in quality.files.cloud
            if any(key.startswith((f"{DECODER}.", f"{SYNTHESIS}.")) for key in bundle.tensors[file])
        )
        latent_shape = bundle.codec(name).latent_shape
        key = (files, latent_shape)
        if key not in shared:
            decoder = fill(convolutional_decoder(), DECODER, bundle, name)
            numbers = math.prod(latent_shape)
            learned = numbers != _ELEMENTS
            synthesis = _fully_connected(bundle, name, SYNTHESIS, numbers, _ELEMENTS) if learned else None
            shared[key] = Tail(decoder, classifier, synthesis).eval()
        tails[name] = shared[key]
    return tails


def load_fallback(bundle: Bundle) -> Fallback | None:
    """Build the device's own small classifier; None where the bundle has none.

    Raises:
        BundleInvalid: the weights are not those of the network.

    """
    widths = _widths(bundle, None, FALLBACK)
    if not widths:
        return None
    with _SHAPES_ONLY:
        network = Fallback(len(bundle.manifest.classes), widths[:-1])
    fill(network.layers, FALLBACK, bundle, None)
    return network.eval()


def _fully_connected(bundle: Bundle, quality: str, name: str, inputs: int, outputs: int) -> nn.Module:
    with _SHAPES_ONLY:
        network = fully_connected((inputs, *_widths(bundle, quality, name)[:-1], outputs))
    return fill(network, name, bundle, quality)


def _widths(bundle: Bundle, quality: str | None, name: str) -> list[int]:
    """Tell how many numbers leave each of some fully connected layers."""
    tensors, widths = bundle.tensors_of(quality), list[int]()
    while (key := f"{name}.{2 * len(widths)}.weight") in tensors:
        widths.append(len(bundle.tensor(quality, key, (None, None))))
    return widths


def fill(network: nn.Module, name: str, bundle: Bundle, quality: str | None) -> nn.Module:
    """Give a network the weights that stand under ``name``, a quality's or (None) those that all share.

    Raises:
        BundleInvalid: they are not those of the network.

    """
    prefix = f"{name}."
    state: dict[str, Tensor] = {
        key.removeprefix(prefix): torch.from_numpy(value.astype("float32"))
        for key, value in bundle.tensors_of(quality).items()
        if key.startswith(prefix)
    }
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as exc:
        raise BundleInvalid(bundle.path, f"weights of the {name} don't fit the network") from exc
    return network.requires_grad_(requires_grad=False)
