"""The latent as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from splitwire.shared.codecs.abc import Codec
from splitwire.shared.errors import PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


class Float32(Codec):
    """Little-endian IEEE 754 single precision, in C order: 12,800 bytes for 128x5x5."""

    name = "float32"

    @classmethod
    def load(cls, bundle: Bundle, quality: str) -> Self:  # noqa: ARG003 - it has no tables
        """Build it; it needs nothing but the shape."""
        return cls(bundle.manifest.latent_shape)

    def quantise(self, latent: NDArray[np.float32]) -> NDArray[np.float32]:
        """Leave it."""
        return latent

    def pack(self, symbols: NDArray[np.float32]) -> bytes:
        """Write four bytes a value."""
        return symbols.astype("<f4").tobytes()

    def unpack(self, payload: bytes) -> NDArray[np.float32]:
        """Read a payload; values that are not finite are refused."""
        self._check_size(payload, 4)
        symbols = np.frombuffer(payload, "<f4").astype(np.float32).reshape(self.shape)
        if not np.isfinite(symbols).all():
            raise PayloadInvalid(self.name, "values that are not finite")
        return symbols

    def restore(self, symbols: NDArray[np.float32]) -> NDArray[np.float32]:
        """Leave it."""
        return symbols
