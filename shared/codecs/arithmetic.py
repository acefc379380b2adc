"""Arithmetic coding in exact integers: the shortest whole number of bytes for a list of symbols.

The symbols narrow an interval of [0, 1), each to the part that its frequency takes (Rissanen and
Langdon, 1979); the payload is the shortest binary fraction inside. All bounds are Python integers
of any length, so that nothing is rounded, carried or flushed: a payload is at most a byte longer
than the symbols' information. That suits payloads of a few dozen bytes; the work grows with the
square of their number.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FREQUENCY_BITS = 16
TOTAL = 1 << FREQUENCY_BITS
"""The sum of the frequencies of a position's symbols."""


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


def encode(symbols: Sequence[int], tables: Sequence[Table]) -> bytes:
    """Write one symbol a table: at least one byte.

    Raises:
        IndexError: a symbol has no frequency.

    """
    low, width = 0, 1
    for symbol, table in zip(symbols, tables, strict=True):
        low = (low << FREQUENCY_BITS) + width * table.starts[symbol]
        width *= table.frequencies[symbol]
    bits = FREQUENCY_BITS * len(tables)
    size = max(1, (bits - width.bit_length()) // 8)
    while True:
        # The least number of this size at or above the interval's low end.
        value = -((-low << 8 * size) >> bits)
        if value << bits < (low + width) << 8 * size:
            return value.to_bytes(size, "big")
        size += 1


def decode(payload: bytes, tables: Sequence[Table]) -> list[int]:
    """Read one symbol a table.

    Raises:
        ValueError: ``encode`` would have written the symbols in other bytes.

    """
    bits = FREQUENCY_BITS * len(tables)
    target = (int.from_bytes(payload, "big") << bits) >> 8 * len(payload)
    low, width = 0, 1
    symbols = []
    for table in tables:
        bits -= FREQUENCY_BITS
        low <<= FREQUENCY_BITS
        symbol = bisect_right(table.starts, ((target >> bits) - low) // width) - 1
        low += width * table.starts[symbol]
        width *= table.frequencies[symbol]
        symbols.append(symbol)
    if encode(symbols, tables) != payload:
        raise ValueError("not the shortest spelling")
    return symbols
