"""A learned map to a few numbers, coded under a learned factorised prior."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from splitwire.shared.codecs import arithmetic
from splitwire.shared.codecs.abc import Codec
from splitwire.shared.errors import BundleInvalid, LatentInvalid, PayloadInvalid
from splitwire.shared.layers import load_layers, run_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle
    from splitwire.shared.layers import Layer

ANALYSIS, SYNTHESIS = "analysis", "synthesis"
"""Prefixes of tensor names in a bundle's files."""


class Factorised(Codec):
    """latent ─analysis─> d numbers ─round─> d integers ─arithmetic coding─> payload, and back.

    Analysis and synthesis are fully connected layers with ReLU between them. Each of the d numbers
    has its own smallest symbol and its own table of frequencies, made once, in integers.
    """

    name = "factorised"

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        smallest: NDArray[np.int64],
        tables: Sequence[arithmetic.Table],
        analysis: Sequence[Layer] | None,
        synthesis: Sequence[Layer] | None,
    ) -> None:
        """Take the prior, and the map of the side that this is: a device only encodes, a cloud only decodes.

        Args:
            shape: of the latent.
            smallest: the integer that symbol 0 of each table means, [d].
            tables: d of them.
            analysis: from prod(shape) numbers to d; None where nothing is encoded.
            synthesis: from d numbers to prod(shape); None where nothing is decoded.

        """
        super().__init__(shape)
        self.symbols_shape = smallest.shape
        self._smallest = smallest
        self._largest = smallest + np.array([len(table.frequencies) - 1 for table in tables])
        self._tables = tables
        self._analysis = analysis
        self.synthesis = synthesis

    @classmethod
    def load(cls, bundle: Bundle, quality: str) -> Self:
        """Build it from ``smallest`` [d], ``frequencies`` [d, k], and the layers that this side has.

        Layers are ``analysis.0``, ``analysis.2`` and so on (ReLU between them has no tensors), each with
        ``weight`` and ``bias``; ``synthesis`` likewise. A table's frequencies end where the first 0 is.
        """
        smallest = bundle.tensor(quality, "smallest", (None,)).astype(np.int64)
        rows = bundle.tensor(quality, "frequencies", (len(smallest), None)).astype(np.int64)
        try:
            tables = [arithmetic.Table(np.trim_zeros(row, "b").tolist()) for row in rows]
        except ValueError as exc:
            raise BundleInvalid(bundle.path, f"{exc} in quality {quality!r}; copy the bundle again") from exc
        shape = bundle.manifest.latent_shape
        numbers, elements = len(tables), int(np.prod(shape))
        tensors = bundle.tensors_of(quality)
        return cls(
            shape,
            smallest=smallest,
            tables=tables,
            analysis=load_layers(bundle.path, tensors, ANALYSIS, elements, numbers),
            synthesis=load_layers(bundle.path, tensors, SYNTHESIS, numbers, elements),
        )

    def quantise(self, latent: NDArray[np.float32]) -> NDArray[np.int64]:
        """Map to d numbers, round halves to even, clamp to the tables: [d].

        Raises:
            LatentInvalid: the latent is so large that a number of it is none.

        """
        if self._analysis is None:
            raise NotImplementedError("the cloud's side of a codec can't encode")
        numbers = run_layers(self._analysis, latent.reshape(-1))
        if np.isnan(numbers).any():
            raise LatentInvalid("latent with values too large; check the picture and the head")
        return np.clip(np.rint(numbers), self._smallest, self._largest).astype(np.int64)

    def pack(self, symbols: NDArray[np.int64]) -> bytes:
        """Write d integers."""
        return arithmetic.encode((symbols - self._smallest).tolist(), self._tables)

    def unpack(self, payload: bytes) -> NDArray[np.int64]:
        """Read d integers."""
        if not 1 <= len(payload) <= arithmetic.longest(len(self._tables)):
            raise PayloadInvalid(
                self.name, f"{len(payload)} bytes, expected 1 to {arithmetic.longest(len(self._tables))}"
            )
        try:
            return np.array(self._decoder.decode(payload), dtype=np.int64) + self._smallest
        except ValueError as exc:
            raise PayloadInvalid(self.name, str(exc)) from exc

    @cached_property
    def _decoder(self) -> arithmetic.Decoder:
        return arithmetic.Decoder(self._tables)

    def restore(self, symbols: NDArray[np.int64]) -> NDArray[np.float32]:
        """Map d integers back to a latent: [..., d] to [..., *shape]."""
        if self.synthesis is None:
            raise NotImplementedError("the device's side of a codec can't decode")
        numbers = run_layers(self.synthesis, symbols.astype(np.float32))
        return numbers.reshape(*symbols.shape[:-1], *self.shape)
