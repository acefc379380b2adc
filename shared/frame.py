"""The frame: one or several payloads with their header, an HTTP body.

    one picture             several pictures
    0     magic | version   0     magic | version
    1-4   fingerprint       1-4   fingerprint
    5     quality           5     0x80 | quality
    6-    payload           6     count, 2 to 64
                            7-    count - 1 lengths, then the payloads

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
VERSION = 1
HEADER_BYTES = 6
MAX_PICTURES = 64
MAX_PAYLOAD_BYTES = 16_383
MAX_QUALITY = 0x7F
MAX_FRAME_BYTES = HEADER_BYTES + 1 + 2 * (MAX_PICTURES - 1) + MAX_PICTURES * MAX_PAYLOAD_BYTES
"""The largest valid frame: anything longer can be refused unread."""

_HEADER = struct.Struct("<BIB")
_MANY = 0x80


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a frame says.

    ``fingerprint``: 32 bits, names the decoding contract. ``quality``: 0 to 127.
    ``payloads``: one a picture, 1 to 64 of them, each of 1 to 16,383 bytes.
    """

    fingerprint: int
    quality: int
    payloads: tuple[bytes, ...]


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
    for payload in payloads:
        _check_length(len(payload))
    if len(payloads) == 1:
        return _HEADER.pack(MAGIC << 4 | VERSION, frame.fingerprint, frame.quality) + payloads[0]
    header = _HEADER.pack(MAGIC << 4 | VERSION, frame.fingerprint, _MANY | frame.quality)
    lengths = b"".join(_pack_length(len(payload)) for payload in payloads[:-1])
    return b"".join((header, bytes([len(payloads)]), lengths, *payloads))


def unpack(data: bytes) -> Frame:
    """Read a frame.

    Raises:
        FrameError: one of its kinds for any bytes that are not a valid frame; nothing else.

    """
    if not data:
        raise FrameTruncated(HEADER_BYTES + 1, 0)
    if data[0] >> 4 != MAGIC:
        raise FrameMagicInvalid(data[0] >> 4)
    if data[0] & 0xF != VERSION:
        raise FrameVersionUnknown(data[0] & 0xF, VERSION)
    if len(data) <= HEADER_BYTES:
        raise FrameTruncated(HEADER_BYTES + 1, len(data))
    _, fingerprint, quality = _HEADER.unpack_from(data)
    if not quality & _MANY:
        _check_length(len(data) - HEADER_BYTES)
        return Frame(fingerprint=fingerprint, quality=quality, payloads=(data[HEADER_BYTES:],))
    return Frame(fingerprint=fingerprint, quality=quality & ~_MANY, payloads=_unpack_many(data))


def _unpack_many(data: bytes) -> tuple[bytes, ...]:
    count = data[HEADER_BYTES]
    if not 2 <= count <= MAX_PICTURES:
        raise FrameCountInvalid(count, 2, MAX_PICTURES)
    position = HEADER_BYTES + 1
    lengths: list[int] = []
    for _ in range(count - 1):
        length, position = _unpack_length(data, position)
        lengths.append(length)
    last = len(data) - position - sum(lengths)
    if last < 1:
        raise FrameTruncated(len(data) + 1 - last, len(data))
    _check_length(last)
    bounds = accumulate([*lengths, last], initial=position)
    return tuple(data[start:end] for start, end in pairwise(bounds))


def _pack_length(length: int) -> bytes:
    """LEB128 of at most two bytes: seven bits a byte, low ones first, the top bit means more."""
    return bytes([length]) if length < 0x80 else bytes([0x80 | length & 0x7F, length >> 7])


def _unpack_length(data: bytes, position: int) -> tuple[int, int]:
    if position >= len(data):
        raise FrameTruncated(position + 1, len(data))
    length, position = data[position], position + 1
    if length & 0x80:
        if position >= len(data):
            raise FrameTruncated(position + 1, len(data))
        high, position = data[position], position + 1
        if not 0 < high < 0x80:
            raise FrameLengthInvalid("a length is not in its shortest form of at most two bytes")
        length = length & 0x7F | high << 7
    _check_length(length)
    return length, position


def _check_length(length: int) -> None:
    if not 1 <= length <= MAX_PAYLOAD_BYTES:
        raise FrameLengthInvalid(f"a payload has 1 to {MAX_PAYLOAD_BYTES} bytes, not {length}")
