"""Fully connected layers in numpy: what is small enough to need no backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from splitwire.shared.errors import BundleInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


class Layer(NamedTuple):
    """``weight`` [outputs, inputs], ``bias`` [outputs], float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def run_layers(layers: Sequence[Layer], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map numbers [..., inputs] to [..., outputs], with ReLU between layers."""
    *hidden, last = layers
    for layer in hidden:
        numbers = np.maximum(numbers @ layer.weight.T + layer.bias, 0)
    return numbers @ last.weight.T + last.bias


def load_layers(bundle: Bundle, quality: str | None, name: str, inputs: int, outputs: int) -> list[Layer]:
    """Load ``name.0``, ``name.2`` and so on (the ReLU between them have no tensors).

    Args:
        bundle: with the device's files.
        quality: whose they are; None: shared by all.
        name: how their tensors' names begin.
        inputs: numbers into the first layer.
        outputs: numbers out of the last one.

    Raises:
        BundleInvalid: they are absent, or don't lead from the inputs to the outputs.

    """
    tensors = bundle.tensors_of(quality)
    layers: list[Layer] = []
    while (key := f"{name}.{2 * len(layers)}") and f"{key}.weight" in tensors:
        weight = bundle.tensor(quality, f"{key}.weight", (None, inputs)).astype(np.float32)
        inputs = len(weight)
        layers.append(Layer(weight, bundle.tensor(quality, f"{key}.bias", (inputs,)).astype(np.float32)))
    if not layers or inputs != outputs:
        raise BundleInvalid(
            bundle.path, f"layers of the {name} don't lead to {outputs} numbers; copy the bundle again"
        )
    return layers
