"""The latent in 8-bit integers, with a scale a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from splitwire.shared.codecs.abc import Codec
from splitwire.shared.errors import PayloadInvalid, TensorInvalid
from splitwire.shared.tensors import tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.tensors import Tensors

_LARGEST = 127
_UNUSED = b"\x80"


class Int8(Codec):
    """Symbols -127 to 127, two's complement, in C order: 3,200 bytes for 128x5x5.

    symbol = round(y / scale), halves to even, clamped; y_hat = symbol * scale. The byte -128 never occurs.
    """

    id = "int8"

    def __init__(self, latent_shape: tuple[int, ...], scales: NDArray[np.float32]) -> None:
        """Take one positive scale a channel: [latent_shape[0]], float32."""
        super().__init__(latent_shape)
        self._scales = scales.reshape(-1, *(1,) * (len(latent_shape) - 1))

    @classmethod
    def fit(cls, latents: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Make ``scales``, float32: a channel's largest magnitude becomes the largest symbol."""
        largest = np.abs(latents).max(axis=(0, *range(2, latents.ndim)))
        return {"scales": np.maximum(largest, np.float32(1e-6)) / np.float32(_LARGEST)}

    @classmethod
    def from_tables(cls, shape: tuple[int, ...], tables: Tensors) -> Self:
        """Build it with ``scales`` [shape[0]]."""
        scales = tensor(tables, "scales", (shape[0],)).astype(np.float32)
        if scales.min() <= 0:
            raise TensorInvalid("scales are not positive")
        return cls(shape, scales)

    def _quantise(self, latent: NDArray[np.float32]) -> NDArray[np.int8]:
        symbols: NDArray[np.float32] = np.clip(np.rint(latent / self._scales), -_LARGEST, _LARGEST)
        return symbols.astype(np.int8)

    def encode(self, symbols: NDArray[np.int8]) -> bytes:
        """Write a byte a symbol."""
        return symbols.tobytes()

    def decode(self, payload: bytes) -> NDArray[np.int8]:
        """Read a byte a symbol; the unused one is refused."""
        symbols = self._read(payload, np.int8)
        if _UNUSED in payload:
            raise PayloadInvalid(self.id, f"symbol below {-_LARGEST}")
        return symbols

    def dequantise(self, symbols: NDArray[np.int8]) -> NDArray[np.float32]:
        """Multiply by the scales."""
        return symbols.astype(np.float32) * self._scales
