"""The latent in half precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.shared.codecs.abc import Codec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = float(np.finfo(np.float16).max)


class Half(Codec):
    """Little-endian IEEE 754 half precision, in C order: 6,400 bytes for 128x5x5.

    Values beyond 65,504 are clamped, others rounded to the nearest, halves to even.
    """

    id = "half"

    def _quantise(self, latent: NDArray[np.float32]) -> NDArray[np.float16]:
        return np.clip(latent, -_LARGEST, _LARGEST).astype(np.float16)

    def encode(self, symbols: NDArray[np.float16]) -> bytes:
        """Write two bytes a value."""
        return symbols.astype("<f2").tobytes()

    def decode(self, payload: bytes) -> NDArray[np.float16]:
        """Read two bytes a value; values that are not finite are refused."""
        return self._read(payload, "<f2")

    def dequantise(self, symbols: NDArray[np.float16]) -> NDArray[np.float32]:
        """Widen to single precision."""
        return symbols.astype(np.float32)
