"""What every codec does."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from splitwire.shared.errors import LatentInvalid, PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


class Codec(ABC):
    """Latent to payload and back, by way of symbols.

        latent y ──quantise──> symbols ──pack──> payload ──unpack──> symbols ──restore──> latent y_hat

    Symbols are integers, or for codecs that quantise nothing, the floats themselves. Packing is
    exact: on every machine a payload unpacks to the symbols that it was packed from, and symbols
    have one payload. Quantising and restoring compute in floats, so that another machine may be off
    by a rounding.
    """

    name: ClassVar[str]
    """Stable; part of the manifest and of the fingerprint."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.symbols_shape = shape
        self._elements = math.prod(shape)

    @classmethod
    @abstractmethod
    def load(cls, bundle: Bundle, quality: str) -> Self:
        """Build the codec of one of a bundle's qualities.

        Raises:
            BundleInvalid: its tables are absent or unusable.

        """

    def encode(self, latent: NDArray[np.float32]) -> bytes:
        """Write a latent of this codec's shape, float32.

        Raises:
            LatentInvalid: another shape, or values that are not finite.

        """
        return self.pack(self.symbols(latent))

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """Read a payload: a latent of this codec's shape, float32.

        Raises:
            PayloadInvalid: not a payload that ``encode`` could have written.

        """
        return self.restore(self.unpack(payload))

    def symbols(self, latent: NDArray[np.float32]) -> NDArray[Any]:
        """Quantise a latent; beyond the largest and smallest symbol it is clamped.

        Raises:
            LatentInvalid: another shape, or values that are not finite.

        """
        if latent.shape != self.shape:
            raise LatentInvalid(f"latent of shape {latent.shape}, expected {self.shape}")
        if not np.isfinite(latent).all():
            raise LatentInvalid("latent with values that are not finite; check the picture and the head")
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is clamped or refused
            return self.quantise(latent)

    @abstractmethod
    def quantise(self, latent: NDArray[np.float32]) -> NDArray[Any]:
        """Make symbols of a finite latent of the right shape."""

    @abstractmethod
    def pack(self, symbols: NDArray[Any]) -> bytes:
        """Write symbols."""

    @abstractmethod
    def unpack(self, payload: bytes) -> NDArray[Any]:
        """Read symbols.

        Raises:
            PayloadInvalid: not a payload that ``pack`` could have written.

        """

    @abstractmethod
    def restore(self, symbols: NDArray[Any]) -> NDArray[np.float32]:
        """Make a latent of symbols, or with a first axis more, a latent of each picture's."""

    def _check_size(self, payload: bytes, itemsize: int) -> None:
        expected = self._elements * itemsize
        if len(payload) != expected:
            raise PayloadInvalid(self.name, f"{len(payload)} bytes, expected {expected}")
