"""What the first bytes of a picture file tell, and Pillow tells too late or not at all, of what decoding it costs."""

from __future__ import annotations

import struct

_FILL, _START_OF_SCAN = 0xFF, 0xDA
_FRAMES = range(0xC0, 0xD0)
"""The markers of JPEG's frames; the three other markers among them are none."""
_SEQUENTIAL, _NO_FRAMES = (0xC0, 0xC1), (0xC4, 0xC8, 0xCC)
_LENGTH_BYTES = 2
_FIRST_WITH_LENGTH, _WITHOUT_LENGTH = 0xC0, range(0xD0, 0xDA)
_WEBP_HEAD_BYTES = 30
_MOST_BRANDS_BYTES = 256
_HEVC_BRANDS = (b"hei", b"hev")
"""How those begin that mean HEVC; AVIF has others in the same box."""


def is_one_scan(data: bytes) -> bool:
    """Whether a JPEG is one of a single scan, which libjpeg decodes row by row: it keeps all of any other.

    Read strictly: True only where libjpeg, which skips rubbish, sees the same segments.
    """
    at, channels = 2, 0
    while at + 5 <= len(data):
        mark, kind, size = struct.unpack_from(">BBH", data, at)
        if mark != _FILL or kind < _FIRST_WITH_LENGTH or kind in _WITHOUT_LENGTH:
            return False
        if kind == _FILL:
            at += 1
            continue
        if kind == _START_OF_SCAN:
            return data[at + 4] == channels > 0
        if kind in _SEQUENTIAL:
            channels = int.from_bytes(data[at + 9 : at + 10])
        elif size < _LENGTH_BYTES or (kind in _FRAMES and kind not in _NO_FRAMES):
            return False
        at += 2 + size
    return False


def is_heic(data: bytes) -> bool:
    """Whether a file names HEVC among its brands."""
    size = min(int.from_bytes(data[:4]), _MOST_BRANDS_BYTES)
    return data[4:8] == b"ftyp" and any(data[at : at + 3] in _HEVC_BRANDS for at in range(8, size, 4))


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Read the width and height that a WebP asks memory for; None: it is no WebP."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < _WEBP_HEAD_BYTES:
        return None
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
