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
    return _shortest(low, width, FREQUENCY_BITS * len(tables))


def decode(payload: bytes, tables: Sequence[Table]) -> list[int]:
    """Read one symbol a table.

    Raises:
        ValueError: ``encode`` would have written the symbols in other bytes.

    """
    bits = FREQUENCY_BITS * len(tables)
    target = (int.from_bytes(payload, "big") << bits) >> 8 * len(payload)
    rest, width = 0, 1  # of the target above the interval's low end, as far as it was read
    symbols = []
    for table, digit in zip(tables, _digits(target, len(tables)), strict=True):
        rest = rest << FREQUENCY_BITS | digit
        symbol = bisect_right(table.starts, rest // width) - 1
        rest -= width * table.starts[symbol]
        width *= table.frequencies[symbol]
        symbols.append(symbol)
    if _shortest(target - rest, width, bits) != payload:
        raise ValueError("not the shortest spelling")
    return symbols


def _shortest(low: int, width: int, bits: int) -> bytes:
    """Write the least number of the shortest size in the interval of so many bits."""
    size = max(1, (bits - width.bit_length()) // 8)
    while True:
        value = -((-low << 8 * size) >> bits)  # the least one of this size at or above the low end
        if value << bits < (low + width) << 8 * size:
            return value.to_bytes(size, "big")
        size += 1


def _digits(number: int, count: int) -> tuple[int, ...]:
    """Take a number apart, the highest of its digits of ``FREQUENCY_BITS`` first."""
    return struct.unpack(f">{count}H", number.to_bytes(2 * count, "big"))
