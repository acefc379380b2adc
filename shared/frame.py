"""The frame: one or several payloads with their header, an HTTP body.

    one picture             several pictures
    0     magic | version   0     magic | version
    1-4   fingerprint       1-4   fingerprint
    5     quality           5     0x80 | quality
    6-    payload           6     count, 2 to 64
                            7-    count - 1 lengths, then the payloads

Version 1 has payloads of at most 16,383 bytes. Version 2 differs in its longer lengths, and is for nothing else.
docs/wire-format.md specifies every byte, and what is checked and why.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate, pairwise

from splitwire.shared.errors import (
    FrameCountInvalid,
    FrameLengthInvalid,
    FrameMagicInvalid,
    FrameTruncated,
    FrameVersionUnknown,
)

MAGIC = 0x5
VERSION, LONG_VERSION = 1, 2
"""A frame's, and that of one with a payload over ``MAX_SHORT_BYTES``."""
HEADER_BYTES = 6
MAX_PICTURES = 64
MAX_QUALITY = 0x7F
MAX_SHORT_BYTES = (1 << 14) - 1
"""Of a payload in a frame of version 1: its length takes two bytes at most."""
MAX_PAYLOAD_BYTES = (1 << 21) - 1
"""Of a payload in a frame of version 2: its length takes three bytes at most."""
MAX_PAYLOADS_BYTES = 8 << 20
"""Of all payloads of a frame."""

_HEADER = struct.Struct("<BIB")
_MANY = 0x80
_LONGEST = {VERSION: MAX_SHORT_BYTES, LONG_VERSION: MAX_PAYLOAD_BYTES}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a frame says.

    ``fingerprint``: 32 bits, names the decoding contract. ``quality``: 0 to 127. ``payloads``: one a picture, 1 to 64
    of them, each of 1 to 2,097,151 bytes, and of 8 MiB together.
    """

    fingerprint: int
    quality: int
    payloads: tuple[bytes, ...]


def largest_frame(payload_bytes: int) -> int:
    """Tell how long a frame can be whose payloads have at most so many bytes: a longer one can be refused unread."""
    lengths = (MAX_PICTURES - 1) * len(_pack_length(payload_bytes))
    return HEADER_BYTES + 1 + lengths + min(MAX_PICTURES * payload_bytes, MAX_PAYLOADS_BYTES)


def pack(frame: Frame) -> bytes:
    """Write a frame.

    Raises:
        FrameCountInvalid: not 1 to 64 payloads.
        FrameLengthInvalid: a payload is empty or too long, or a number does not fit its field.

    """
    payloads = frame.payloads
    if not 1 <= len(payloads) <= MAX_PICTURES:
        raise FrameCountInvalid(len(payloads), 1, MAX_PICTURES)
    if not (0 <= frame.fingerprint < 1 << 32 and 0 <= frame.quality <= MAX_QUALITY):
        raise FrameLengthInvalid("the fingerprint needs 32 bits and the quality 7")
    lengths = [len(payload) for payload in payloads]
    version = LONG_VERSION if max(lengths) > MAX_SHORT_BYTES else VERSION
    _check_lengths(lengths, version)
    first = MAGIC << 4 | version
    if len(payloads) == 1:
        return _HEADER.pack(first, frame.fingerprint, frame.quality) + payloads[0]
    header = _HEADER.pack(first, frame.fingerprint, _MANY | frame.quality)
    return b"".join((header, bytes([len(payloads)]), *map(_pack_length, lengths[:-1]), *payloads))


def unpack(data: bytes) -> Frame:
    """Read a frame.

    Raises:
        FrameError: one of its kinds for any bytes that are not a valid frame; nothing else.

    """
    if not data:
        raise FrameTruncated(HEADER_BYTES + 1, 0)
    if data[0] >> 4 != MAGIC:
        raise FrameMagicInvalid(data[0] >> 4)
    version = data[0] & 0xF
    if version not in _LONGEST:
        raise FrameVersionUnknown(version, LONG_VERSION)
    if len(data) <= HEADER_BYTES:
        raise FrameTruncated(HEADER_BYTES + 1, len(data))
    _, fingerprint, quality = _HEADER.unpack_from(data)
    lengths, position = _unpack_lengths(data, version) if quality & _MANY else ([], HEADER_BYTES)
    last = len(data) - position - sum(lengths)
    if last < 1:
        raise FrameTruncated(len(data) + 1 - last, len(data))
    lengths.append(last)
    _check_lengths(lengths, version)
    bounds = accumulate(lengths, initial=position)
    return Frame(
        fingerprint=fingerprint,
        quality=quality & ~_MANY,
        payloads=tuple(data[start:end] for start, end in pairwise(bounds)),
    )


def _unpack_lengths(data: bytes, version: int) -> tuple[list[int], int]:
    """Read all lengths but the last; the second is where the payloads begin."""
    count, position = data[HEADER_BYTES], HEADER_BYTES + 1
    if not 2 <= count <= MAX_PICTURES:
        raise FrameCountInvalid(count, 2, MAX_PICTURES)
    lengths: list[int] = []
    for _ in range(count - 1):
        length, position = _unpack_length(data, position, _LONGEST[version])
        lengths.append(length)
    return lengths, position


def _pack_length(length: int) -> bytes:
    """LEB128: seven bits a byte, low ones first, the top bit means more."""
    high = length >> 7
    return bytes([0x80 | length & 0x7F]) + _pack_length(high) if high else bytes([length])


def _unpack_length(data: bytes, position: int, longest: int) -> tuple[int, int]:
    length = 0
    for shift in range(0, longest.bit_length(), 7):
        if position >= len(data):
            raise FrameTruncated(position + 1, len(data))
        byte, position = data[position], position + 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80 and (byte or not shift):
            return length, position
        if not byte:
            break
    raise FrameLengthInvalid("a length is not in its shortest form")


def _check_lengths(lengths: list[int], version: int) -> None:
    longest = _LONGEST[version]
    for length in lengths:
        if not 1 <= length <= longest:
            raise FrameLengthInvalid(f"a payload has 1 to {longest} bytes, not {length}")
    if version == LONG_VERSION and max(lengths) <= MAX_SHORT_BYTES:
        raise FrameLengthInvalid(f"version {version} without a payload over {MAX_SHORT_BYTES} bytes")
    if sum(lengths) > MAX_PAYLOADS_BYTES:
        raise FrameLengthInvalid(f"payloads of over {MAX_PAYLOADS_BYTES} bytes together")
