"""Arithmetic coding in exact integers: the shortest whole number of bytes for a list of symbols.

The symbols narrow an interval of [0, 1), each to the part that its frequency takes (Rissanen and
Langdon, 1979); the payload is the shortest binary fraction inside. All bounds are Python integers
of any length, so that nothing is rounded, carried or flushed: a payload is at most a byte longer
than the symbols' information. That suits payloads of a few dozen bytes; the work grows with the
square of their number.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from itertools import accumulate, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FREQUENCY_BITS = 16
TOTAL = 1 << FREQUENCY_BITS
"""The sum of the frequencies of a position's symbols."""
_LARGEST_PAIRS = 4096


def longest(count: int) -> int:
    """Bytes that ``encode`` writes at most for a number of symbols."""
    return max(1, count * FREQUENCY_BITS // 8)


class Table:
    """Frequencies of the symbols 0, 1, ... at one position; each positive, together ``TOTAL``."""

    def __init__(self, frequencies: Sequence[int]) -> None:
        """Take the frequencies.

        Raises:
            ValueError: one is not positive, or they don't add up.

        """
        if not frequencies or min(frequencies) < 1 or sum(frequencies) != TOTAL:
            raise ValueError(f"frequencies are positive and add up to {TOTAL}")
        self.starts = tuple(accumulate(frequencies[:-1], initial=0))
        self.frequencies = tuple(frequencies)


def integer_frequencies(weights: NDArray[np.floating]) -> NDArray[np.int64]:
    """Share ``TOTAL`` out in proportion to positive weights, at least 1 each."""
    spare = TOTAL - len(weights)
    shares = weights / weights.sum() * spare
    frequencies: NDArray[np.int64] = np.floor(shares).astype(np.int64)
    most_cut = np.argsort(frequencies - shares, kind="stable")[: spare - frequencies.sum()]
    frequencies[most_cut] += 1
    return frequencies + 1


def encode(symbols: Sequence[int], tables: Sequence[Table]) -> bytes:
    """Write one symbol a table: at least one byte.

    Raises:
        IndexError: a symbol has no frequency.

    """
    low, width = 0, 1
    for symbol, table in zip(symbols, tables, strict=True):
        low = (low << FREQUENCY_BITS) + width * table.starts[symbol]
        width *= table.frequencies[symbol]
    return _shortest(low, width, FREQUENCY_BITS * len(tables))


class Decoder:
    """Reads what ``encode`` wrote for the same tables.

    Two neighbours are read at once where their tables are small: as one symbol of a table of all pairs,
    whose intervals are, exactly, those of one symbol after the other.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self._bits = FREQUENCY_BITS * len(tables)
        self._steps: list[_Step] = []
        rest = list(tables)
        while rest:
            first, *others = rest
            pair = bool(others) and len(first.starts) * len(others[0].starts) <= _LARGEST_PAIRS
            self._steps.append(_pairs(first, others[0]) if pair else _singles(first))
            rest = others[1:] if pair else others
        self._digits = struct.Struct(
            ">" + "".join("I" if step.bits > FREQUENCY_BITS else "H" for step in self._steps)
        )

    def decode(self, payload: bytes) -> list[int]:
        """Read one symbol a table.

        Raises:
            ValueError: ``encode`` would have written the symbols in other bytes.

        """
        bits = self._bits
        target = (int.from_bytes(payload, "big") << bits) >> 8 * len(payload)
        digits = self._digits.unpack(target.to_bytes(bits // 8, "big"))
        rest, width = 0, 1  # of the target above the interval's low end, as far as it was read
        read: list[int] = []
        for (step_bits, starts, frequencies, symbols), digit in zip(self._steps, digits, strict=True):
            rest = rest << step_bits | digit
            index = bisect_right(starts, rest // width) - 1
            rest -= width * starts[index]
            width *= frequencies[index]
            read += symbols[index]
        if _shortest(target - rest, width, bits) != payload:
            raise ValueError("not the shortest spelling")
        return read


class _Step(NamedTuple):
    """What is read at once: intervals of 1 << ``bits``, and the symbols that each means."""

    bits: int
    starts: Sequence[int]
    frequencies: Sequence[int]
    symbols: Sequence[tuple[int, ...]]


def _singles(table: Table) -> _Step:
    symbols = tuple((symbol,) for symbol in range(len(table.starts)))
    return _Step(FREQUENCY_BITS, table.starts, table.frequencies, symbols)


def _pairs(first: Table, second: Table) -> _Step:
    pairs = tuple(product(range(len(first.starts)), range(len(second.starts))))
    return _Step(
        bits=2 * FREQUENCY_BITS,
        starts=tuple(
            (first.starts[one] << FREQUENCY_BITS) + first.frequencies[one] * second.starts[other]
            for one, other in pairs
        ),
        frequencies=tuple(first.frequencies[one] * second.frequencies[other] for one, other in pairs),
        symbols=pairs,
    )


def _shortest(low: int, width: int, bits: int) -> bytes:
    """Write the least number of the shortest size in the interval of so many bits."""
    size = max(1, (bits - width.bit_length()) // 8)
    while True:
        value = -((-low << 8 * size) >> bits)  # the least one of this size at or above the low end
        if value << bits < (low + width) << 8 * size:
            return value.to_bytes(size, "big")
        size += 1
