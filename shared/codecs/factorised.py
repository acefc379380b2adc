"""Numbers, rounded and coded under a factorised prior: each, or each map of them, has its own table of frequencies."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from splitwire.shared.codecs import arithmetic
from splitwire.shared.codecs.abc import Codec
from splitwire.shared.errors import PayloadInvalid, TensorInvalid
from splitwire.shared.tensors import tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from splitwire.shared.tensors import Tensors

_MOST_NUMBERS = 1 << 16
_MARGIN = 1
_SMOOTHING = 0.5


class Factorised(Codec):
    """d numbers ─round, halves to even─> d integers ─arithmetic coding─> payload, and back.

    d is one size, [d], or that of maps [channels, rows, columns]: the numbers of a map share its table. An integer beyond
    its table is clamped.
    """

    id = "factorised"

    def __init__(
        self, shape: tuple[int, ...], smallest: NDArray[np.int64], tables: Sequence[arithmetic.Table]
    ) -> None:
        """Take shape[0] tables, and the integer that symbol 0 of each means: [shape[0]]."""
        super().__init__(shape)
        largest = smallest + np.array([len(table.frequencies) - 1 for table in tables])
        across = (-1, *(1,) * (len(shape) - 1))
        self._smallest, self._largest = smallest.reshape(across), largest.reshape(across)
        self._tables = [table for table in tables for _ in range(math.prod(shape[1:]))]

    @classmethod
    def fit(cls, latents: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Count what each of d numbers was (or those of each map), rounded, and a little of what it was not.

        A table reaches one integer beyond the smallest and the largest that occurred.

        Returns:
            ``smallest`` [d]; ``frequencies`` [d, k], 0 after a table's end. Both are int32. Of maps, d is their number.

        """
        integers = np.moveaxis(np.rint(latents).astype(np.int64), 1, -1).reshape(-1, latents.shape[1])
        smallest = integers.min(axis=0) - _MARGIN
        sizes = integers.max(axis=0) + _MARGIN + 1 - smallest
        frequencies = np.zeros((len(sizes), int(sizes.max())), dtype=np.int32)
        for number, size in enumerate(sizes):
            counts = np.bincount(integers[:, number] - smallest[number], minlength=size) + _SMOOTHING
            frequencies[number, :size] = arithmetic.integer_frequencies(counts)
        return {"smallest": smallest.astype(np.int32), "frequencies": frequencies}

    @classmethod
    def from_tables(cls, shape: tuple[int, ...], tables: Tensors) -> Self:
        """Build it with ``smallest`` [d] and ``frequencies`` [d, k]: of d maps where the shape says so."""
        smallest = tensor(tables, "smallest", (None,)).astype(np.int64)
        rows = tensor(tables, "frequencies", (len(smallest), None)).astype(np.int64)
        own = shape if len(shape) > 1 and shape[0] == len(smallest) else smallest.shape
        if math.prod(own) > _MOST_NUMBERS:
            raise TensorInvalid(f"a code of shape {own} has over {_MOST_NUMBERS} numbers")
        try:
            return cls(own, smallest, [arithmetic.Table(np.trim_zeros(row, "b").tolist()) for row in rows])
        except ValueError as exc:
            raise TensorInvalid(str(exc)) from exc

    def _quantise(self, latent: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.clip(np.rint(latent), self._smallest, self._largest).astype(np.int64)

    def encode(self, symbols: NDArray[np.int64]) -> bytes:
        """Write d integers: 1 to 2 d bytes."""
        return arithmetic.encode((symbols - self._smallest).ravel().tolist(), self._tables)

    def decode(self, payload: bytes) -> NDArray[np.int64]:
        """Read d integers; all but their shortest spelling is refused."""
        longest = arithmetic.longest(len(self._tables))
        if not 1 <= len(payload) <= longest:
            raise PayloadInvalid(self.id, f"{len(payload)} bytes, expected 1 to {longest}")
        try:
            symbols = np.array(self._decoder.decode(payload), dtype=np.int64)
        except ValueError as exc:
            raise PayloadInvalid(self.id, str(exc)) from exc
        return symbols.reshape(self.latent_shape) + self._smallest

    @cached_property
    def _decoder(self) -> arithmetic.Decoder:
        return arithmetic.Decoder(self._tables)

    def dequantise(self, symbols: NDArray[np.int64]) -> NDArray[np.float32]:
        """Take the integers for the numbers that they were rounded from."""
        return symbols.astype(np.float32)
