"""A learned map to a few numbers, coded under a learned factorised prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from shared.codecs import arithmetic
from shared.codecs.abc import Codec
from shared.errors import BundleInvalid, PayloadInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shared.bundle import Bundle

ANALYSIS, SYNTHESIS = "analysis", "synthesis"
"""Prefixes of tensor names in a bundle's files."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One fully connected layer: ``weight`` [outputs, inputs], ``bias`` [outputs], float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


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
        self._smallest = smallest
        self._largest = smallest + np.array([len(table.frequencies) - 1 for table in tables])
        self._tables = tables
        self._analysis = analysis
        self._synthesis = synthesis

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
        return cls(
            shape,
            smallest=smallest,
            tables=tables,
            analysis=_layers(bundle, quality, ANALYSIS, elements, numbers),
            synthesis=_layers(bundle, quality, SYNTHESIS, numbers, elements),
        )

    def quantise(self, latent: NDArray[np.float32]) -> NDArray[np.int64]:
        """Map to d numbers, round halves to even, clamp to the tables: [d]."""
        if self._analysis is None:
            raise NotImplementedError("the cloud's side of a codec can't encode")
        numbers = _run(self._analysis, latent.reshape(-1))
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
            return np.array(arithmetic.decode(payload, self._tables)) + self._smallest
        except ValueError as exc:
            raise PayloadInvalid(self.name, str(exc)) from exc

    def restore(self, symbols: NDArray[np.int64]) -> NDArray[np.float32]:
        """Map d integers back to a latent."""
        if self._synthesis is None:
            raise NotImplementedError("the device's side of a codec can't decode")
        return _run(self._synthesis, symbols.astype(np.float32)).reshape(self.shape)


def _layers(bundle: Bundle, quality: str, name: str, inputs: int, outputs: int) -> list[Layer] | None:
    """Collect the layers of a map from ``inputs`` numbers to ``outputs``; None where this side has none."""
    present = bundle.tensors_of(quality)
    layers: list[Layer] = []
    while (key := f"{name}.{2 * len(layers)}") and f"{key}.weight" in present:
        weight = bundle.tensor(quality, f"{key}.weight", (None, inputs)).astype(np.float32)
        inputs = len(weight)
        bias = bundle.tensor(quality, f"{key}.bias", (inputs,)).astype(np.float32)
        layers.append(Layer(weight=weight, bias=bias))
    if layers and inputs != outputs:
        raise BundleInvalid(
            bundle.path, f"{name} of quality {quality!r} ends in {inputs} numbers, expected {outputs}"
        )
    return layers or None


def _run(layers: Sequence[Layer], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    *hidden, last = layers
    for layer in hidden:
        numbers = np.maximum(layer.weight @ numbers + layer.bias, 0)
    return last.weight @ numbers + last.bias
