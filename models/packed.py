"""The tail, arranged for speed on a processor: the same weights in another order, the same answers.

    latent 128x5x5 ─conv 3x3─> 128x7x7 ─positions─> 49x128 ─> 49x256 ─> 49x512 ─flat─> 25,088 ─> ... ─> logits

A transposed convolution is a convolution with its kernel turned round, and with a 1x1 kernel a linear layer at
each position. Linear layers are oneDNN's, with weights that it has put in its own order once.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.vgg16 import FEATURE_SHAPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.autoencoder import ConvolutionalDecoder
    from models.split import Tail
    from models.vgg16 import Classifier

_ONEDNN: Any = torch.ops.mkldnn
"""What torch.compile makes of linear layers. Not public: pyproject.toml holds torch to one minor release."""


class PackedLinear:
    """[N, inputs] -> [N, outputs], both float32.

    ReLU is left to torch: oneDNN's makes zeros of what is no number, so that nobody would see it.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take a layer's weight [outputs, inputs] and bias [outputs]."""
        self._weight = _ONEDNN._reorder_linear_weight(weight.contiguous())  # noqa: SLF001
        self._bias = bias

    def __call__(self, numbers: Tensor) -> Tensor:
        """Map numbers."""
        mapped: Tensor = _ONEDNN._linear_pointwise(numbers, self._weight, self._bias, "none", [], "")  # noqa: SLF001
        return mapped


class PackedDecoder:
    """Latent to feature by position: [N, 128, 5, 5] -> [N, 49, 512]."""

    def __init__(self, decoder: ConvolutionalDecoder) -> None:
        widen, *layers = (layer for layer in decoder if isinstance(layer, nn.ConvTranspose2d))
        self._weight = widen.weight.flip(2, 3).transpose(0, 1).contiguous()
        self._bias = widen.bias
        self._layers = [PackedLinear(layer.weight[:, :, 0, 0].T, layer.bias) for layer in layers]

    def __call__(self, latents: Tensor) -> Tensor:
        """Decode."""
        numbers = functional.conv2d(latents, self._weight, self._bias, padding=2).relu_()
        numbers = numbers.permute(0, 2, 3, 1).flatten(0, 2)
        for layer in self._layers:
            numbers = layer(numbers).relu_()
        return numbers.view(len(latents), -1, numbers.shape[1])


class PackedClassifier:
    """Feature by position to logits: [N, 49, 512] -> [N, classes]."""

    def __init__(self, classifier: Classifier) -> None:
        first, *layers = (layer for layer in classifier.layers if isinstance(layer, nn.Linear))
        channels, rows, columns = FEATURE_SHAPE
        by_position = first.weight.view(-1, channels, rows * columns).transpose(1, 2).flatten(1)
        self._first = PackedLinear(by_position, first.bias)
        self._others = [PackedLinear(layer.weight, layer.bias) for layer in layers]

    def __call__(self, features: Tensor) -> Tensor:
        """Classify."""
        numbers = self._first(features.flatten(1))
        for layer in self._others:
            numbers = layer(numbers.relu_())
        return numbers


class PackedTail:
    """[N, 128, 5, 5] -> [N, classes], float32 on a processor: see ``models.split.Tail``."""

    def __init__(self, decoder: PackedDecoder, classifier: PackedClassifier) -> None:
        self.decoder = decoder
        self.classifier = classifier

    def __call__(self, latents: Tensor) -> Tensor:
        """Latent to logits."""
        return self.classifier(self.decoder(latents))


def can_pack() -> bool:
    """Tell whether this torch has oneDNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def pack_tails(tails: Mapping[str, Tail]) -> dict[str, PackedTail]:
    """Pack the tail of every quality; what they share is packed once."""
    decoder, classifier, tail = cache(PackedDecoder), cache(PackedClassifier), cache(PackedTail)
    return {name: tail(decoder(each.decoder), classifier(each.classifier)) for name, each in tails.items()}
