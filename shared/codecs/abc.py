"""What every codec does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from shared.errors import LatentInvalid, PayloadInvalid

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Codec(ABC):
    """Latent to payload and back.

        latent y ──encode──> payload ──decode──> latent y_hat

    Decoding is exact: the same payload gives the same y_hat on every machine.
    """

    name: ClassVar[str]
    """Stable; part of the manifest and of the fingerprint."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def encode(self, latent: NDArray[np.float32]) -> bytes:
        """Write a latent of this codec's shape, float32.

        Raises:
            LatentInvalid: another shape, or values that are not finite.

        """
        if latent.shape != self.shape:
            raise LatentInvalid(f"latent of shape {latent.shape}, expected {self.shape}")
        if not np.isfinite(latent).all():
            raise LatentInvalid("latent with values that are not finite; check the picture and the head")
        return self._encode(latent)

    @abstractmethod
    def _encode(self, latent: NDArray[np.float32]) -> bytes: ...

    @abstractmethod
    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """Read a payload: a latent of this codec's shape, float32.

        Raises:
            PayloadInvalid: not a payload that ``encode`` could have written.

        """

    def _check_size(self, payload: bytes, itemsize: int) -> None:
        expected = int(np.prod(self.shape)) * itemsize
        if len(payload) != expected:
            raise PayloadInvalid(self.name, f"{len(payload)} bytes, expected {expected}")
