"""The latent in 8-bit integers, with a scale a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from splitwire.shared.codecs.abc import Codec
from splitwire.shared.errors import BundleInvalid, PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

LARGEST = 127
_UNUSED = b"\x80"


class Int8(Codec):
    """Symbols -127 to 127, two's complement, in C order: 3,200 bytes for 128x5x5.

    symbol = round(y / scale), clamped; y_hat = symbol * scale. The byte -128 never occurs.
    """

    name = "int8"

    def __init__(self, shape: tuple[int, ...], scales: NDArray[np.float32]) -> None:
        """Take one positive scale a channel: [shape[0]], float32."""
        super().__init__(shape)
        self._scales = scales.reshape(-1, *(1,) * (len(shape) - 1))

    @classmethod
    def load(cls, bundle: Bundle, quality: str) -> Self:
        """Build it with the quality's tensor ``scales``."""
        shape = bundle.manifest.latent_shape
        scales = bundle.tensor(quality, "scales", (shape[0],)).astype(np.float32)
        if scales.min() <= 0:
            raise BundleInvalid(bundle.path, f"scales of {quality!r} are not positive; copy the bundle again")
        return cls(shape, scales)

    def quantise(self, latent: NDArray[np.float32]) -> NDArray[np.int8]:
        """Divide by the scale, round halves to even, clamp."""
        symbols: NDArray[np.float32] = np.clip(np.rint(latent / self._scales), -LARGEST, LARGEST)
        return symbols.astype(np.int8)

    def pack(self, symbols: NDArray[np.int8]) -> bytes:
        """Write a byte a symbol."""
        return symbols.tobytes()

    def unpack(self, payload: bytes) -> NDArray[np.int8]:
        """Read a payload; the unused symbol is refused."""
        self._check_size(payload, 1)
        if _UNUSED in payload:
            raise PayloadInvalid(self.name, f"symbol below {-LARGEST}")
        return np.frombuffer(payload, np.int8).reshape(self.shape)

    def restore(self, symbols: NDArray[np.int8]) -> NDArray[np.float32]:
        """Multiply by the scale."""
        return symbols.astype(np.float32) * self._scales
