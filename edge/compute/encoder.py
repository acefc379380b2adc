"""From feature to payload: the CAE's encoder in numpy, small and the same on every backend, and the codec."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from splitwire.edge.compute.layers import load_layers, run_layers
from splitwire.shared.bundle import ANALYSIS, ENCODER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.edge.compute.layers import Layer
    from splitwire.shared.bundle import Bundle


class Encoder:
    """One quality's encoder, with its codec.

    feature 512x7x7 ─1x1─> 256x7x7 ─1x1─> 128x7x7 ─3x3─> 128x5x5 ─(analysis, for q1 ...)─> d numbers ─codec─> payload
    """

    def __init__(self, bundle: Bundle, quality: str) -> None:
        """Load the weights and tables of a quality.

        Raises:
            QualityMissing: the bundle has no such quality.
            BundleInvalid: they are absent or of other shapes.

        """
        channels, rows, columns = bundle.manifest.feature_shape
        latent_shape = bundle.manifest.latent_shape
        code = latent_shape[0]
        self._positions = (rows, columns)
        self._codec = bundle.codec(quality)

        def weights(number: int, shape: tuple[int | None, ...]) -> tuple[NDArray[np.float32], ...]:
            name = f"{ENCODER}.{number}"
            weight = bundle.tensor(quality, f"{name}.weight", shape).astype(np.float32)
            bias = bundle.tensor(quality, f"{name}.bias", (len(weight),)).astype(np.float32)
            return weight.reshape(len(weight), -1), bias[:, None]

        self._narrow = weights(0, (None, channels, 1, 1))
        self._narrower = weights(2, (code, len(self._narrow[0]), 1, 1))
        self._smaller = weights(4, (code, code, 3, 3))
        self._analysis: list[Layer] | None = None
        if self._codec.latent_shape != latent_shape:
            numbers = math.prod(self._codec.latent_shape)
            self._analysis = load_layers(bundle, quality, ANALYSIS, math.prod(latent_shape), numbers)

    @np.errstate(over="ignore", invalid="ignore")  # the codec refuses what is not finite
    def latent(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode a feature [512, 7, 7]: the quality's latent, [128, 5, 5] or [d], float32."""
        numbers = feature.reshape(len(feature), -1)
        for weight, bias in (self._narrow, self._narrower):
            numbers = np.maximum(weight @ numbers + bias, 0)
        windows = np.lib.stride_tricks.sliding_window_view(
            numbers.reshape(-1, *self._positions), (3, 3), axis=(1, 2)
        )
        channels, rows, columns = windows.shape[:3]
        weight, bias = self._smaller
        patches = windows.transpose(0, 3, 4, 1, 2).reshape(-1, rows * columns)
        latent: NDArray[np.float32] = (weight @ patches + bias).reshape(channels, rows, columns)
        return run_layers(self._analysis, latent.reshape(-1)) if self._analysis else latent

    def __call__(self, feature: NDArray[np.float32]) -> bytes:
        """Make the payload of a feature [512, 7, 7].

        Raises:
            LatentInvalid: its latent can't be coded.

        """
        return self._codec.encode(self._codec.quantise(self.latent(feature)))
