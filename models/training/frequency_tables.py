"""From counted symbols to the integer frequencies of an arithmetic coder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.shared.codecs.arithmetic import TOTAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN = 1
_SMOOTHING = 0.5


def frequency_tables(symbols: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Count what each of d numbers was, and a little of what it was not.

    A table reaches one symbol beyond the smallest and the largest that occurred.

    Args:
        symbols: [N, d].

    Returns:
        The integer that each table's first symbol means, [d]; frequencies, [d, k], 0 after a table's end.

    """
    smallest = symbols.min(axis=0) - _MARGIN
    sizes = symbols.max(axis=0) + _MARGIN + 1 - smallest
    frequencies = np.zeros((len(sizes), int(sizes.max())), dtype=np.int32)
    for number, size in enumerate(sizes):
        counts = np.bincount(symbols[:, number] - smallest[number], minlength=size) + _SMOOTHING
        frequencies[number, :size] = integer_frequencies(counts)
    return smallest.astype(np.int32), frequencies


def integer_frequencies(weights: NDArray[np.floating]) -> NDArray[np.int64]:
    """Share ``TOTAL`` out in proportion to positive weights, at least 1 each."""
    spare = TOTAL - len(weights)
    shares = weights / weights.sum() * spare
    frequencies: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    most_cut = np.argsort(frequencies - shares, kind="stable")[: spare - frequencies.sum()]
    frequencies[most_cut] += 1
    frequencies += 1
    return frequencies
