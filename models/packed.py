"""The tail, arranged for speed on a processor: the same weights in another order, the same answers.

    latent 128x5x5 ─conv 3x3─> 49x128 ─> 49x256 ─> 49x512 ─flat─> 25,088 ─> ... ─> logits
    └────────── widening ───────────┘ └────── decoder ─────┘ └────── classifier ────────┘

A transposed convolution is a convolution with its kernel turned round, and with a 1x1 kernel a linear layer at
each position. Linear layers are oneDNN's, with weights that it has put in its own order once. A synthesis ends
without ReLU, so that its last layer and the convolution are one linear layer, from 256 numbers to 49x128.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.vgg16 import FEATURE_SHAPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splitwire.models.tail import Tail

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


class Widening:
    """The decoder's first layer: latents [N, 128, 5, 5] -> by position [N, 49, 128], not negative."""

    def __init__(self, widen: nn.ConvTranspose2d) -> None:
        turned = widen.weight.flip(2, 3).transpose(0, 1)
        self._weight = turned.contiguous(memory_format=torch.channels_last)
        self._bias = widen.bias

    def __call__(self, latents: Tensor) -> Tensor:
        """Widen latents."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        return _by_position(functional.conv2d(latents, self._weight, self._bias, padding=2)).relu_()


class FoldedWidening:
    """The synthesis with the decoder's first layer folded into its last one: [N, d] -> [N, 49, 128]."""

    def __init__(self, synthesis: nn.Module, widen: nn.ConvTranspose2d) -> None:
        *hidden, last = _linear_layers(synthesis)
        columns, offset = (numbers.view(-1, *LATENT_SHAPE) for numbers in (last.weight.T, last.bias))
        weight = _by_position(functional.conv_transpose2d(columns, widen.weight))
        bias = _by_position(functional.conv_transpose2d(offset, widen.weight, widen.bias))
        self._positions = weight.shape[1:]
        self._hidden = [PackedLinear(layer.weight, layer.bias) for layer in hidden]
        self._last = PackedLinear(weight.flatten(1).T, bias.flatten())

    def __call__(self, numbers: Tensor) -> Tensor:
        """Widen the latents that the numbers stand for."""
        for layer in self._hidden:
            numbers = layer(numbers).relu_()
        return self._last(numbers).relu_().view(-1, *self._positions)


class PackedClassifier:
    """Features by position to logits: [N, 49, 512] -> [N, classes]."""

    def __init__(self, classifier: nn.Module) -> None:
        first, *others = _linear_layers(classifier)
        channels, rows, columns = FEATURE_SHAPE
        by_position = first.weight.view(-1, channels, rows * columns).transpose(1, 2).flatten(1)
        self._first = PackedLinear(by_position, first.bias)
        self._others = [PackedLinear(layer.weight, layer.bias) for layer in others]

    def __call__(self, features: Tensor) -> Tensor:
        """Classify."""
        numbers = self._first(features.flatten(1))
        for layer in self._others:
            numbers = layer(numbers.relu_())
        return numbers


class PackedTail:
    """A quality's latents to logits, as ``Tail`` has it, float32."""

    def __init__(self, tail: Tail, classifier: PackedClassifier) -> None:
        widen, *others = (layer for layer in tail.decoder.children() if isinstance(layer, nn.ConvTranspose2d))
        self.widening = FoldedWidening(tail.synthesis, widen) if tail.synthesis else Widening(widen)
        self._layers = [PackedLinear(layer.weight[:, :, 0, 0].T, layer.bias) for layer in others]
        self.classifier = classifier

    def __call__(self, latents: Tensor) -> Tensor:
        """Run the tail."""
        widened = self.widening(latents)
        numbers = widened.flatten(0, 1)
        for layer in self._layers:
            numbers = layer(numbers).relu_()
        return self.classifier(numbers.view(*widened.shape[:2], -1))


def can_pack() -> bool:
    """Tell whether this torch has oneDNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def pack_tails(tails: Mapping[str, Tail]) -> dict[str, PackedTail]:
    """Pack the tail of every quality; what they share is packed once."""
    classifier = cache(PackedClassifier)
    packed = {tail: PackedTail(tail, classifier(tail.classifier)) for tail in set(tails.values())}
    return {quality: packed[tail] for quality, tail in tails.items()}


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def _by_position(maps: Tensor) -> Tensor:
    """[N, channels, rows, columns] -> [N, positions, channels]."""
    return maps.flatten(2).transpose(1, 2)
