"""Head and tails from a model bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from splitwire.models.autoencoder import ConvolutionalDecoder, ConvolutionalEncoder
from splitwire.models.split import Tail
from splitwire.models.vgg16 import Classifier, convolutions
from splitwire.shared.errors import BundleInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splitwire.shared.bundle import Bundle

CONVOLUTIONS, CLASSIFIER = "convolutions", "classifier"
ENCODER, DECODER, FALLBACK = "encoder", "decoder", "fallback"
"""Prefixes of tensor names in a bundle's files."""

_SHAPES_ONLY = torch.device("meta")
"""What a manifest asks for takes memory only once the weights fit it."""


def load_convolutions(bundle: Bundle) -> nn.Module:
    """Build the convolutions that all qualities share: float32, channels last, ready to run.

    Raises:
        BundleInvalid: the weights are not those of the networks.

    """
    with _SHAPES_ONLY:
        network = convolutions()
    filled(network, CONVOLUTIONS, bundle, bundle.manifest.files.device)
    return network.eval().to(memory_format=torch.channels_last)


def load_encoder(bundle: Bundle, quality: str) -> nn.Module:
    """Build the encoder of a quality."""
    network = filled(ConvolutionalEncoder(), ENCODER, bundle, bundle.quality(quality).files.device)
    return network.eval().to(memory_format=torch.channels_last)


def load_tails(bundle: Bundle) -> dict[str, Tail]:
    """Build the tail of every quality, float32; what they share is loaded once.

    Raises:
        BundleInvalid: the weights are not those of the networks.

    """
    manifest = bundle.manifest
    with _SHAPES_ONLY:
        classifier = Classifier(len(manifest.classes), manifest.hidden)
    filled(classifier, CLASSIFIER, bundle, manifest.files.cloud)
    by_files: dict[tuple[str, ...], Tail] = {}
    tails: dict[str, Tail] = {}
    for name, quality in manifest.qualities.items():
        files = tuple(
            file
            for file in quality.files.cloud
            if any(key.startswith(f"{DECODER}.") for key in bundle.tensors[file])
        )
        if files not in by_files:
            by_files[files] = Tail(filled(ConvolutionalDecoder(), DECODER, bundle, files), classifier).eval()
        tails[name] = by_files[files]
    return tails


def filled(network: nn.Module, name: str, bundle: Bundle, files: Sequence[str]) -> nn.Module:
    """Give a network the weights that stand under ``name`` in some of a bundle's files: float32, not to be trained.

    Raises:
        BundleInvalid: they are not those of the network.

    """
    prefix = f"{name}."
    state: dict[str, Tensor] = {
        key.removeprefix(prefix): torch.from_numpy(value.astype("float32"))
        for file in files
        for key, value in bundle.tensors[file].items()
        if key.startswith(prefix)
    }
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as exc:
        raise BundleInvalid(bundle.path, f"weights of the {name} don't fit the network") from exc
    return network.requires_grad_(requires_grad=False)
