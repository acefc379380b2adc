"""Pictures as files, in several codecs and settings, and how much of a file is the same for every picture."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image, features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

QUALITIES = (10, 30, 60, 90)
"""Pillow's ``quality`` for JPEG, WebP and AVIF."""
COLOURS = (4, 16, 64, None)
"""Sizes of PNG's palettes; None keeps every colour."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A picture's file, and how many of its bytes are left without what both sides could know before."""

    data: bytes
    bare_bytes: int


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to write a picture's file."""

    codec: str
    name: str
    encode: Callable[[Image.Image], File]

    @property
    def media_type(self) -> str:
        """The file's Content-Type."""
        return f"image/{self.codec.lower()}"

    @property
    def title(self) -> str:
        """Codec and setting in one."""
        return f"{self.codec}, {self.name}"


def settings(
    qualities: Sequence[int] = QUALITIES, colours: Sequence[int | None] = COLOURS
) -> tuple[Setting, ...]:
    """List the settings of each codec that Pillow has here: PNG, JPEG, WebP, AVIF."""
    found = [
        Setting(
            codec="PNG", name=f"{count} colours" if count else "lossless", encode=partial(_png, colours=count)
        )
        for count in colours
    ]
    for codec, encode in (("JPEG", _jpeg), ("WebP", _webp), ("AVIF", _avif)):
        if features.check("jpg" if codec == "JPEG" else codec.lower()):
            found += [
                Setting(codec=codec, name=f"quality {quality}", encode=partial(encode, quality=quality))
                for quality in qualities
            ]
    return tuple(found)


def _png(image: Image.Image, *, colours: int | None) -> File:
    if colours is not None:
        image = image.quantize(colours)
    data = _saved(image, "PNG", optimize=True)
    return File(data=data, bare_bytes=sum(size for kind, size in _chunks(data) if kind in {b"IDAT", b"PLTE"}))


def _jpeg(image: Image.Image, *, quality: int) -> File:
    """Write tables made for this picture; bare is the scan with the standard's tables, which need no sending."""
    standard = _saved(image, "JPEG", quality=quality)
    return File(
        data=_saved(image, "JPEG", quality=quality, optimize=True),
        bare_bytes=len(standard) - _jpeg_scan_start(standard) - len(b"\xff\xd9"),
    )


def _webp(image: Image.Image, *, quality: int) -> File:
    data = _saved(image, "WEBP", quality=quality, method=6)
    (size,) = struct.unpack_from("<I", data, len(b"RIFF....WEBPVP8 "))
    return File(data=data, bare_bytes=size)


def _avif(image: Image.Image, *, quality: int) -> File:
    data = _saved(image, "AVIF", quality=quality)
    return File(data=data, bare_bytes=sum(size for kind, size in _boxes(data) if kind == b"mdat"))


def _saved(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    plain = Image.frombytes(image.mode, image.size, image.tobytes())  # without metadata
    if image.mode == "P":
        plain.putpalette(image.getpalette() or [])
    plain.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Walk through the chunks after the signature: kind, size of the content (PNG, 5.3)."""
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, size
        at += size + 12


def _jpeg_scan_start(data: bytes) -> int:
    """Find the first byte after the header of the one scan (ITU-T T.81, B.2)."""
    at, marker = 2, 0
    while marker != 0xFFDA:
        marker, size = struct.unpack_from(">HH", data, at)
        at += 2 + int(size)
    return at


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Walk through the boxes at the top: kind, size of the content (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, size - 8
        at += size
