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


def large_animation(size: tuple[int, int]) -> bytes:
    """A GIF of two frames of a few pixels that says it is of this size."""
    frames = [Image.new("L", (8, 8), colour) for colour in (0, 255)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    return data[:6] + struct.pack("<HH", *size) + data[10:]


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
    return data[:33] + _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20), 9)) * chunks + data[33:]


def of_size(size: tuple[int, int], mode: str = "RGB", sampling: int = 0x11) -> bytes:
    """A JPEG that says it is of this size, and of so many blocks of the first channel for one of the others."""
    data = bytearray(encoded(Image.new(mode, (16, 16)), "JPEG", subsampling=0))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", *reversed(size))
    data[frame + 11] = sampling
    return bytes(data[:-2]) + bytes(1 << 19) + data[-2:]


def scan_per_channel(size: tuple[int, int], mode: str) -> bytes:
    """A JPEG that is not progressive, but has a scan for each channel: some hundred bytes."""
    data = of_size(size, mode)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    channels = [data[frame + 10 + 3 * index] for index in range(data[frame + 9])]
    scans = [b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, channel, 0, 0, 63, 0) for channel in channels]
    return data[:scan] + b"".join(each + bytes(64) for each in scans) + data[-2:]


def png_row(width: int, *, interlaced: bool = False) -> bytes:
    """A PNG of one row of 16-bit RGBA."""
    header = struct.pack(">IIBBBBB", width, 1, 16, 6, 0, 0, interlaced)
    pixels = zlib.compress(bytes(8 * width + 8), 9)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def wide_text_bomb(chunks: int) -> bytes:
    """A PNG with compressed texts of a million letters each, of four bytes each, since one is no common letter."""
    data = encoded(Image.new("RGB", (8, 8)))
    text = zlib.compress(b"x" * 1_000_000 + "\U0001f600".encode(), 9)
    texts = [_chunk(b"iTXt", b"%d\0\1\0\0\0" % index + text) for index in range(chunks)]
    return data[:33] + b"".join(texts) + data[33:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
