"""The CAE's encoder in numpy: small beside the convolutions, and the same on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

_NARROW, _NARROWER, _SMALLER = "encoder.0", "encoder.2", "encoder.4"


class Encoder:
    """Feature to latent: [512, 7, 7] -> 256x7x7 -> 128x7x7 -> [128, 5, 5], float32."""

    def __init__(self, bundle: Bundle, quality: str) -> None:
        """Load the weights of a quality.

        Raises:
            BundleInvalid: they are absent or of other shapes.

        """
        channels, rows, columns = bundle.manifest.feature_shape
        code = bundle.manifest.latent_shape[0]
        self._shape = (rows, columns)

        def weights(
            name: str, shape: tuple[int | None, ...]
        ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            weight = bundle.tensor(quality, f"{name}.weight", shape).astype(np.float32)
            bias = bundle.tensor(quality, f"{name}.bias", (len(weight),)).astype(np.float32)
            return weight.reshape(len(weight), -1), bias[:, None]

        self._narrow = weights(_NARROW, (None, channels, 1, 1))
        self._narrower = weights(_NARROWER, (code, len(self._narrow[0]), 1, 1))
        self._smaller = weights(_SMALLER, (code, code, 3, 3))

    def __call__(self, feature: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode one feature."""
        numbers = feature.reshape(len(feature), -1)
        for weight, bias in (self._narrow, self._narrower):
            numbers = np.maximum(weight @ numbers + bias, 0)
        windows = np.lib.stride_tricks.sliding_window_view(
            numbers.reshape(-1, *self._shape), (3, 3), axis=(1, 2)
        )
        channels, rows, columns = windows.shape[:3]
        weight, bias = self._smaller
        patches = windows.transpose(0, 3, 4, 1, 2).reshape(-1, rows * columns)
        latent: NDArray[np.float32] = (weight @ patches + bias).reshape(channels, rows, columns)
        return latent
