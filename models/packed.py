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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from splitwire.models.loading import Tail

_ONEDNN: Any = torch.ops.mkldnn
"""What torch.compile makes of linear layers. Not public: pyproject.toml holds torch to one minor release."""
_PLAIN = (nn.Linear, nn.ReLU, nn.Dropout)


class PackedLinear(nn.Module):
    """[..., inputs] -> [..., outputs], both float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take a layer's weight [outputs, inputs] and bias [outputs]."""
        super().__init__()
        self._weight = _ONEDNN._reorder_linear_weight(weight.contiguous())  # noqa: SLF001
        self._bias = bias

    def forward(self, numbers: Tensor) -> Tensor:
        """Map numbers. ReLU is left to torch: oneDNN's makes zeros of what is no number, so that nobody would see it."""
        mapped: Tensor = _ONEDNN._linear_pointwise(numbers, self._weight, self._bias, "none", [], "")  # noqa: SLF001
        return mapped


@torch.inference_mode()
def can_pack() -> bool:
    """Tell whether this torch has oneDNN's linear layers, and whether they compute what its own do."""
    weight, bias, numbers = torch.arange(32.0).view(4, 8), torch.arange(4.0), torch.arange(16.0).view(2, 8)
    try:
        packed = PackedLinear(weight, bias)(numbers)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(packed, functional.linear(numbers, weight, bias))


def pack_tails(tails: Mapping[str, Tail]) -> dict[str, nn.Module]:
    """Pack the tails that are built like VGG16's; what they share is packed once. Others get their weights channels last."""
    classifier = cache(_classifier)

    def packed(tail: Tail) -> nn.Module:
        if not _can_pack(tail):
            return tail.to(memory_format=torch.channels_last)
        channels = _transposed(tail)[-1].out_channels
        return _packed(tail, classifier(tail.back, channels))

    arranged = {tail: packed(tail) for tail in set(tails.values())}
    return {quality: arranged[tail] for quality, tail in tails.items()}


def _can_pack(tail: Tail) -> bool:
    """Tell whether a tail is one transposed 3x3 convolution, some of 1x1, and linear layers on all that they give."""
    transposed, linear = _transposed(tail), _linear_layers(tail.back)
    leaves = [module for module in tail.back.modules() if not list(module.children())]
    if len(transposed) < 2 or not linear or not all(isinstance(leaf, _PLAIN) for leaf in leaves):
        return False
    windows = [(layer.kernel_size, layer.stride, layer.padding) for layer in transposed]
    plain = [((3, 3), (1, 1), (0, 0)), *[((1, 1), (1, 1), (0, 0))] * len(transposed[1:])]
    flat = linear[0].in_features == transposed[-1].out_channels * _positions(tail)
    synthesis = tail.synthesis is None or isinstance(tail.synthesis[0], nn.Linear)  # type: ignore[index]
    return windows == plain and flat and synthesis and isinstance(list(tail.decoder.children())[-1], nn.ReLU)


def _transposed(tail: Tail) -> list[nn.ConvTranspose2d]:
    return [layer for layer in tail.decoder.children() if isinstance(layer, nn.ConvTranspose2d)]


def _positions(tail: Tail) -> int:
    _, rows, columns = tail.latent_shape
    return (rows + 2) * (columns + 2)


def _packed(tail: Tail, classifier: nn.Module) -> nn.Sequential:
    widen, *others = _transposed(tail)
    decoder = _with_relu(PackedLinear(layer.weight[:, :, 0, 0].T, layer.bias) for layer in others)
    widening = _folded(tail, tail.synthesis, widen) if tail.synthesis else _convolution(widen)
    return nn.Sequential(*widening, nn.ReLU(inplace=True), *decoder, classifier)


def _convolution(widen: nn.ConvTranspose2d) -> list[nn.Module]:
    """[N, 128, 5, 5] -> [N, 49, 128]."""
    turned = widen.weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
    with torch.device("meta"):
        convolution = nn.Conv2d(widen.in_channels, widen.out_channels, 3, padding=2)
    convolution.load_state_dict({"weight": turned, "bias": widen.bias}, assign=True)
    return [convolution, _ByPosition()]


def _folded(tail: Tail, synthesis: nn.Module, widen: nn.ConvTranspose2d) -> list[nn.Module]:
    """[N, d] -> [N, 49, 128]."""
    *hidden, last = _linear_layers(synthesis)
    columns, offset = (numbers.view(-1, *tail.latent_shape) for numbers in (last.weight.T, last.bias))
    weight = _by_position(functional.conv_transpose2d(columns, widen.weight)).flatten(1)
    bias = _by_position(functional.conv_transpose2d(offset, widen.weight, widen.bias)).flatten()
    before = _with_relu(PackedLinear(layer.weight, layer.bias) for layer in hidden)
    return [*before, PackedLinear(weight.T, bias), nn.Unflatten(1, (_positions(tail), widen.out_channels))]


def _classifier(classifier: nn.Module, channels: int) -> nn.Module:
    """[N, 49, 512] -> [N, classes]."""
    first, *others = _linear_layers(classifier)
    by_position = first.weight.view(len(first.weight), channels, -1).transpose(1, 2).flatten(1)
    weights = [by_position, *(layer.weight for layer in others)]
    biases = [layer.bias for layer in (first, *others)]
    layers = _with_relu(map(PackedLinear, weights, biases))
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def _with_relu(layers: Iterable[nn.Module]) -> list[nn.Module]:
    return [module for layer in layers for module in (layer, nn.ReLU(inplace=True))]


def _by_position(maps: Tensor) -> Tensor:
    """[N, channels, rows, columns] -> [N, positions, channels]."""
    return maps.flatten(2).transpose(1, 2)


class _ByPosition(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return _by_position(maps)
