"""The tail, arranged for speed on a processor: the same weights in another order, the same answers.

    symbols ─restore─> latent 128x5x5 ─conv 3x3─> 49x128 ─> 49x256 ─> 49x512 ─flat─> 25,088 ─> ... ─> logits
    └──────────────── widening ────────────────────────┘ └───────────────── packed tail ──────────────────┘

A transposed convolution is a convolution with its kernel turned round, and with a 1x1 kernel a linear layer at
each position. Linear layers are oneDNN's, with weights that it has put in its own order once.

A learned codec's last layer has no ReLU, so that it and the convolution are one linear layer, from 256 numbers to
49x128, and no latent is made.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.vgg16 import FEATURE_SHAPE
from splitwire.shared.codecs.factorised import Factorised

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from splitwire.models.split import Tail
    from splitwire.models.vgg16 import Classifier
    from splitwire.shared.codecs.abc import Codec
    from splitwire.shared.layers import Layer

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
    """A codec's symbols [N, ...] -> latents -> the decoder's first layer, by position [N, 49, 128], not negative."""

    def __init__(self, codec: Codec, decoder: nn.Module) -> None:
        self._codec = codec
        widen = _transposed_convolutions(decoder)[0]
        turned = widen.weight.flip(2, 3).transpose(0, 1)
        self._weight = turned.contiguous(memory_format=torch.channels_last)
        self._bias = widen.bias

    def __call__(self, symbols: NDArray[Any]) -> Tensor:
        """Restore latents and widen them."""
        latents = torch.from_numpy(self._codec.restore(symbols))
        latents = latents.contiguous(memory_format=torch.channels_last)
        return _by_position(functional.conv2d(latents, self._weight, self._bias, padding=2)).relu_()


class FoldedWidening:
    """The same for a learned codec, its synthesis folded into the decoder's first layer: [N, d] -> [N, 49, 128]."""

    def __init__(self, synthesis: Sequence[Layer], decoder: nn.Module) -> None:
        widen = _transposed_convolutions(decoder)[0]
        *hidden, last = ((torch.from_numpy(each.weight), torch.from_numpy(each.bias)) for each in synthesis)
        columns, offset = (numbers.view(-1, *LATENT_SHAPE) for numbers in (last[0].T, last[1]))
        weight = _by_position(functional.conv_transpose2d(columns, widen.weight))
        bias = _by_position(functional.conv_transpose2d(offset, widen.weight, widen.bias))
        self._positions = weight.shape[1:]
        self._hidden = [PackedLinear(*layer) for layer in hidden]
        self._last = PackedLinear(weight.flatten(1).T, bias.flatten())

    def __call__(self, symbols: NDArray[Any]) -> Tensor:
        """Widen the latents that the integers stand for."""
        numbers = torch.from_numpy(symbols).float()
        for layer in self._hidden:
            numbers = layer(numbers).relu_()
        return self._last(numbers).relu_().view(-1, *self._positions)


class PackedTail:
    """The decoder's other layers and the classifier: [N, 49, 128] -> logits [N, classes], float32."""

    def __init__(self, decoder: nn.Module, classifier: PackedClassifier) -> None:
        self._layers = [
            PackedLinear(layer.weight[:, :, 0, 0].T, layer.bias)
            for layer in _transposed_convolutions(decoder)[1:]
        ]
        self.classifier = classifier

    def __call__(self, widened: Tensor) -> Tensor:
        """Go on from what a widening gave."""
        numbers = widened.flatten(0, 1)
        for layer in self._layers:
            numbers = layer(numbers).relu_()
        return self.classifier(numbers.view(*widened.shape[:2], -1))


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


def can_pack() -> bool:
    """Tell whether this torch has oneDNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


class Packed(NamedTuple):
    """A quality's way from symbols to logits; qualities with the same networks share ``tail``."""

    widening: Widening | FoldedWidening
    tail: PackedTail


def pack_tails(tails: Mapping[str, Tail], codecs: Mapping[str, Codec]) -> dict[str, Packed]:
    """Pack the tail of every quality; what they share is packed once."""
    classifier, packed = cache(PackedClassifier), cache(PackedTail)
    return {
        quality: Packed(
            _widening(codecs[quality], tail.decoder), packed(tail.decoder, classifier(tail.classifier))
        )
        for quality, tail in tails.items()
    }


def _widening(codec: Codec, decoder: nn.Module) -> Widening | FoldedWidening:
    if isinstance(codec, Factorised) and codec.synthesis:
        return FoldedWidening(codec.synthesis, decoder)
    return Widening(codec, decoder)


def _transposed_convolutions(decoder: nn.Module) -> list[nn.ConvTranspose2d]:
    return [layer for layer in decoder.children() if isinstance(layer, nn.ConvTranspose2d)]


def _by_position(maps: Tensor) -> Tensor:
    """[N, channels, rows, columns] -> [N, positions, channels]."""
    return maps.flatten(2).transpose(1, 2)
