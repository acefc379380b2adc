"""The latent as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.shared.codecs.abc import Codec

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Float32(Codec):
    """Little-endian IEEE 754 single precision, in C order: 12,800 bytes for 128x5x5."""

    id = "float32"

    def _quantise(self, latent: NDArray[np.float32]) -> NDArray[np.float32]:
        return latent

    def encode(self, symbols: NDArray[np.float32]) -> bytes:
        """Write four bytes a value."""
        return symbols.astype("<f4").tobytes()

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """Read four bytes a value; values that are not finite are refused."""
        return self._read(payload, "<f4")

    def dequantise(self, symbols: NDArray[np.float32]) -> NDArray[np.float32]:
        """Leave them."""
        return symbols.astype(np.float32, copy=False)
