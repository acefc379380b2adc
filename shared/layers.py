"""Fully connected layers in numpy: what is small enough to need no backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from splitwire.shared.errors import BundleInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Layer:
    """``weight`` [outputs, inputs], ``bias`` [outputs], float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def run_layers(layers: Sequence[Layer], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map numbers [..., inputs] to [..., outputs], with ReLU between layers."""
    *hidden, last = layers
    for layer in hidden:
        numbers = np.maximum(numbers @ layer.weight.T + layer.bias, 0)
    return numbers @ last.weight.T + last.bias


def load_layers(
    path: Path, tensors: Mapping[str, NDArray[np.generic]], name: str, inputs: int, outputs: int
) -> list[Layer] | None:
    """Collect ``name.0``, ``name.2`` and so on (ReLU between them has no tensors); None without any.

    Raises:
        BundleInvalid: they don't lead from ``inputs`` numbers to ``outputs``, or are not finite.

    """
    layers: list[Layer] = []
    while (key := f"{name}.{2 * len(layers)}") and f"{key}.weight" in tensors:
        weight, bias = tensors[f"{key}.weight"], tensors.get(f"{key}.bias")
        fits = weight.ndim == 2 and weight.shape[1] == inputs and bias is not None
        if not fits or bias is None or bias.shape != weight.shape[:1]:
            raise BundleInvalid(path, f"layer {key} does not fit; copy the bundle again")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise BundleInvalid(path, f"layer {key} has values that are not finite; copy the bundle again")
        layers.append(Layer(weight=weight.astype(np.float32), bias=bias.astype(np.float32)))
        inputs = len(weight)
    if layers and inputs != outputs:
        raise BundleInvalid(
            path, f"{name} ends in {inputs} numbers, expected {outputs}; copy the bundle again"
        )
    return layers or None
