"""Small files that ask a decoder for much."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """An image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def webp_bomb() -> bytes:
    """Some kilobytes of 89 million pixels of one colour."""
    return encoded(Image.new("RGB", (9400, 9400)), "WEBP", lossless=True, method=0, quality=0)


def many_scans(scans: int) -> bytes:
    """A progressive JPEG of six megapixels whose last scan comes again and again."""
    data = encoded(Image.new("RGB", (3000, 2000)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def many_segments(count: int) -> bytes:
    """A JPEG with so many empty segments before its pixels."""
    data = encoded(Image.new("RGB", (8, 8)), "JPEG")
    return data[:2] + b"\xff\xe5\x00\x02" * count + data[2:]


def long_animation(frames: int, side: int) -> bytes:
    """A GIF of so many frames of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "GIF")
    frame = data[data.index(b"\x2c\x00\x00\x00\x00") : -1]
    return data[:-1] + frame * (frames - 1) + data[-1:]


def many_offsets(count: int) -> bytes:
    """A TIFF with so many strips, each of no bytes."""
    entries = [
        (256, 4, 1, 1),
        (257, 4, 1, count),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (278, 3, 1, 1),
    ]
    size = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries[5:5] = [(273, 4, count, size)]
    entries += [(279, 4, count, size + 4 * count)]
    head = b"II*\x00" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4) + bytes(8 * count)


def text_bomb(chunks: int) -> bytes:
    """A PNG with compressed texts of a megabyte each."""
    data = encoded(Image.new("RGB", (8, 8)))
    content = b"zTXt" + b"a\0\0" + zlib.compress(bytes(1 << 20), 9)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return data[:33] + chunk * chunks + data[33:]
