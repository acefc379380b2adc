"""The latent as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shared.codecs.abc import Codec
from shared.errors import PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Float32(Codec):
    """Little-endian IEEE 754 single precision, in C order: 12,800 bytes for 128x5x5."""

    name = "float32"

    def _encode(self, latent: NDArray[np.float32]) -> bytes:
        return latent.astype("<f4").tobytes()

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """Read a payload; values that are not finite are refused."""
        self._check_size(payload, 4)
        latent = np.frombuffer(payload, "<f4").astype(np.float32).reshape(self.shape)
        if not np.isfinite(latent).all():
            raise PayloadInvalid(self.name, "values that are not finite")
        return latent
