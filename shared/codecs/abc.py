"""What every codec does: a latent to symbols, symbols to bytes, and back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from splitwire.shared.errors import LatentInvalid, PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from splitwire.shared.tensors import Tensors


ELEMENT_BYTES = 4
"""What any codec writes at most for an element of its latent."""


class Codec(ABC):
    """Quantises and entropy-codes the latents of one quality.

        latent y ──quantise──> symbols ──encode──> payload ──decode──> symbols ──dequantise──> latent y_hat

    Symbols are integers, or the floats themselves where nothing is quantised. Encoding is exact: on every
    machine a payload decodes to the symbols that it was made of, and no symbols have two payloads. Quantising
    and dequantising compute in floats, so that another machine may be off by a rounding.
    """

    id: ClassVar[str]
    """Stable: part of the manifest and of the fingerprint."""

    def __init__(self, latent_shape: tuple[int, ...]) -> None:
        self.latent_shape = latent_shape

    @classmethod
    def fit(cls, latents: NDArray[np.float32]) -> dict[str, NDArray[Any]]:  # noqa: ARG003 - most have no tables
        """Make the tables that suit latents [pictures, *latent_shape]; most codecs have none."""
        return {}

    @classmethod
    def from_tables(cls, shape: tuple[int, ...], tables: Tensors) -> Self:  # noqa: ARG003 - most have no tables
        """Build a codec; most need nothing but the shape.

        Args:
            shape: of the bundle's latent; a codec whose tables say how many numbers it codes goes by these.
            tables: what ``fit`` made, perhaps among other tensors.

        Raises:
            TensorInvalid: a table is absent or unusable.

        """
        return cls(shape)

    def quantise(self, latent: NDArray[np.float32]) -> NDArray[Any]:
        """Turn a latent [*latent_shape], float32, into symbols of the same shape.

        What is beyond the largest or smallest symbol is clamped.

        Raises:
            LatentInvalid: another shape, or values that are not finite.

        """
        if latent.shape != self.latent_shape:
            raise LatentInvalid(f"latent of shape {latent.shape}, expected {self.latent_shape}")
        if not np.isfinite(latent).all():
            raise LatentInvalid("latent with values that are not finite; check the picture and the head")
        with np.errstate(over="ignore"):  # what overflows is clamped
            return self._quantise(latent)

    @abstractmethod
    def _quantise(self, latent: NDArray[np.float32]) -> NDArray[Any]:
        """Do so with a finite latent of the right shape."""

    @abstractmethod
    def encode(self, symbols: NDArray[Any]) -> bytes:
        """Write a picture's symbols as its payload."""

    @abstractmethod
    def decode(self, payload: bytes) -> NDArray[Any]:
        """Read a picture's symbols.

        Raises:
            PayloadInvalid: ``encode`` never writes this payload.

        """

    @abstractmethod
    def dequantise(self, symbols: NDArray[Any]) -> NDArray[np.float32]:
        """Turn symbols [..., *latent_shape] into latents of the same shape, float32."""

    def _read(self, payload: bytes, dtype: DTypeLike) -> NDArray[Any]:
        """Read a payload of fixed size: the symbols one after the other, finite."""
        expected = math.prod(self.latent_shape) * np.dtype(dtype).itemsize
        if len(payload) != expected:
            raise PayloadInvalid(self.id, f"{len(payload)} bytes, expected {expected}")
        symbols = np.frombuffer(payload, dtype).reshape(self.latent_shape)
        if not np.isfinite(symbols).all():
            raise PayloadInvalid(self.id, "values that are not finite")
        return symbols.astype(symbols.dtype.newbyteorder("="))
