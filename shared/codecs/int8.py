"""The latent in 8-bit integers, with a scale a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shared.codecs.abc import Codec
from shared.errors import PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 127


class Int8(Codec):
    """Symbols -127 to 127, two's complement, in C order: 3,200 bytes for 128x5x5.

    symbol = round(y / scale), clamped; y_hat = symbol * scale. The byte -128 never occurs.
    """

    name = "int8"

    def __init__(self, shape: tuple[int, ...], scales: NDArray[np.float32]) -> None:
        """Take one positive scale a channel: [shape[0]], float32."""
        super().__init__(shape)
        self._scales = scales.reshape(-1, *(1,) * (len(shape) - 1))

    def _encode(self, latent: NDArray[np.float32]) -> bytes:
        symbols = np.clip(np.rint(latent / self._scales), -LARGEST, LARGEST)
        data: bytes = symbols.astype(np.int8).tobytes()
        return data

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """Read a payload; the unused symbol is refused."""
        self._check_size(payload, 1)
        symbols = np.frombuffer(payload, np.int8).reshape(self.shape)
        if symbols.min() < -LARGEST:
            raise PayloadInvalid(self.name, f"symbol below {-LARGEST}")
        return symbols.astype(np.float32) * self._scales
