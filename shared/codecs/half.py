"""The latent in half precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from splitwire.shared.codecs.abc import Codec
from splitwire.shared.errors import PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

LARGEST = float(np.finfo(np.float16).max)


class Half(Codec):
    """Little-endian IEEE 754 half precision, in C order: 6,400 bytes for 128x5x5.

    Values beyond 65,504 are clamped.
    """

    name = "half"

    @classmethod
    def load(cls, bundle: Bundle, quality: str) -> Self:  # noqa: ARG003 - it has no tables
        """Build it; it needs nothing but the shape."""
        return cls(bundle.manifest.latent_shape)

    def quantise(self, latent: NDArray[np.float32]) -> NDArray[np.float16]:
        """Round to the nearest half-precision number, halves to even."""
        return np.clip(latent, -LARGEST, LARGEST).astype(np.float16)

    def pack(self, symbols: NDArray[np.float16]) -> bytes:
        """Write two bytes a value."""
        return symbols.astype("<f2").tobytes()

    def unpack(self, payload: bytes) -> NDArray[np.float16]:
        """Read a payload; values that are not finite are refused."""
        self._check_size(payload, 2)
        symbols = np.frombuffer(payload, "<f2").astype(np.float16).reshape(self.shape)
        if not np.isfinite(symbols).all():
            raise PayloadInvalid(self.name, "values that are not finite")
        return symbols

    def restore(self, symbols: NDArray[np.float16]) -> NDArray[np.float32]:
        """Widen."""
        return symbols.astype(np.float32)
