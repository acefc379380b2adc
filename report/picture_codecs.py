"""Pictures as files, in several codecs and settings, and how much of a file is the same for every picture."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from splitwire.shared.pictures.decoding import View, decode, square

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

QUALITIES = (20, 50, 70, 80, 90)
"""Of JPEG, WebP, AVIF and JPEG XL: 0 to 100."""
COLOURS = (4, 16, 64, None)
"""Sizes of PNG's palettes; None keeps every colour."""
_PARTS, _SMALLEST = (3 / 4, 1 / 2, 1 / 4), 16
"""What a picture's side is reduced to first: parts of what the network sees of it, of so many pixels at least."""

CROPPED = "cropped=1"
"""What a Content-Type says of a file that shows just what the network sees."""

_imagecodecs: Any = import_module("imagecodecs") if find_spec("imagecodecs") else None
"""Has JPEG XL; without it the report has none."""
_JXL_SIGNATURE, _JXL_HEADER_BYTES = b"\xff\x0a", 4


@dataclass(frozen=True, kw_only=True)
class File:
    """A picture's file, and how many of its bytes are left without what both sides could know before."""

    data: bytes
    bare_bytes: int


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to write a file of what a network sees of a picture, reduced to ``side`` pixels."""

    codec: str
    name: str
    view: View
    side: int
    write: Callable[[Image.Image], File]

    def encode(self, image: Image.Image) -> File:
        """Cut out what is seen of a picture, reduce it, and write its file."""
        seen = square(image, self.view)
        if self.side < self.view.side:
            seen = seen.resize((self.side, self.side), Image.Resampling.LANCZOS)
        return self.write(seen)

    @property
    def media_type(self) -> str:
        """The file's Content-Type; it says where nothing is to be cropped any more."""
        return f"image/{self.codec.lower()}" + (f"; {CROPPED}" if self.view.crop < 1 else "")

    @property
    def title(self) -> str:
        """Codec and setting in one."""
        return f"{self.codec}, {self.name}"


def settings(
    view: View,
    pixels: int,
    qualities: Sequence[int] = QUALITIES,
    colours: Sequence[int | None] = COLOURS,
    parts: Sequence[float] = _PARTS,
) -> tuple[Setting, ...]:
    """List the settings of each codec that is here: PNG, JPEG, WebP, AVIF, JPEG XL (JXL).

    Args:
        view: the network's.
        pixels: of the shorter side of the pictures, which nobody would enlarge to send them.
        qualities: of all codecs but PNG.
        colours: of PNG.
        parts: see ``_PARTS``.

    """
    Image.init()
    view = view._replace(side=min(view.side, round(view.crop * pixels)))
    sides = [
        view.side,
        *(side for part in parts if _SMALLEST <= (side := round(part * view.side)) < view.side),
    ]
    found: list[tuple[str, str, Callable[[Image.Image], File]]] = [
        ("PNG", f"{count} colours" if count else "lossless", partial(_png, colours=count))
        for count in colours
    ]
    for codec, chroma, write in (
        ("JPEG", "4:2:0, ", partial(_jpeg, chroma="4:2:0")),
        ("JPEG", "4:4:4, ", partial(_jpeg, chroma="4:4:4")),
        ("WebP", "", _webp),
        ("AVIF", "", _avif),
        ("JXL", "", _jxl),
    ):
        if codec.upper() in Image.SAVE or (codec == "JXL" and _imagecodecs):
            found += [
                (codec, f"{chroma}quality {quality}", partial(write, quality=quality))
                for quality in qualities
            ]
    return tuple(
        Setting(
            codec=codec,
            name=f"{name}, {side}x{side}" if side < view.side else name,
            view=view,
            side=side,
            write=write,
        )
        for codec, name, write in found
        for side in sides
    )


def load_file(data: bytes, view: View | None = None) -> Image.Image:
    """Read a picture in any of these codecs; see ``splitwire.shared.pictures.decoding.decode``."""
    if _imagecodecs and data.startswith(_JXL_SIGNATURE):
        image = Image.fromarray(_imagecodecs.jpegxl_decode(data))
        return square(image, view) if view else image
    return decode(data, "picture", view)


def _png(image: Image.Image, *, colours: int | None) -> File:
    if colours is not None:
        image = image.quantize(colours)
    data = _saved(image, "PNG", optimize=True)
    return File(data=data, bare_bytes=sum(size for kind, size in _chunks(data) if kind in {b"IDAT", b"PLTE"}))


def _jpeg(image: Image.Image, *, quality: int, chroma: str) -> File:
    """Write tables made for this picture; bare is the scan with the standard's tables, which need no sending."""
    standard = _saved(image, "JPEG", quality=quality, subsampling=chroma)
    return File(
        data=_saved(image, "JPEG", quality=quality, subsampling=chroma, optimize=True),
        bare_bytes=len(standard) - _jpeg_scan_start(standard) - len(b"\xff\xd9"),
    )


def _webp(image: Image.Image, *, quality: int) -> File:
    data = _saved(image, "WEBP", quality=quality, method=6)
    (size,) = struct.unpack_from("<I", data, len(b"RIFF....WEBPVP8 "))
    return File(data=data, bare_bytes=size)


def _avif(image: Image.Image, *, quality: int) -> File:
    data = _saved(image, "AVIF", quality=quality, speed=3)
    return File(data=data, bare_bytes=sum(size for kind, size in _boxes(data) if kind == b"mdat"))


def _jxl(image: Image.Image, *, quality: int) -> File:
    """Write a codestream; bare is what follows signature, size and metadata: 4 bytes for a small square picture."""
    data: bytes = _imagecodecs.jpegxl_encode(np.asarray(image), level=quality, effort=9, numthreads=1)
    return File(data=data, bare_bytes=len(data) - _JXL_HEADER_BYTES)


def _saved(image: Image.Image, kind: str, **options: int | bool | str) -> bytes:
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
