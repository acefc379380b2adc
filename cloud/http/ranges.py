"""Which part of a file a caller asks for."""

from __future__ import annotations

import re

from splitwire.cloud.errors import RangeUnsatisfiable

_ONE = r"\s*(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})\s*"
_RANGES = re.compile(rf"bytes={_ONE}(?:,{_ONE})*", re.IGNORECASE)


def is_range(header: str, size: int) -> bool:
    """Tell whether a ``Range`` header counts: one that is no range of bytes is ignored (RFC 9110, 14.2).

    Raises:
        RangeUnsatisfiable: every range begins behind the end of a file of ``size`` bytes. Where only some do, all
            are ignored.

    """
    if not _RANGES.fullmatch(header):
        return False
    pairs = [each.strip().partition("-") for each in header.partition("=")[2].split(",")]
    if any(first and last and int(last) < int(first) for first, _, last in pairs):
        return False
    within = [int(first) < size if first else int(last) > 0 for first, _, last in pairs]
    if not any(within):
        raise RangeUnsatisfiable(size)
    return all(within)
