"""From the bytes of a picture file to RGB, within a bound of memory. Needs nothing but Pillow, and starts nothing."""

from __future__ import annotations

import io
import math
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from splitwire.shared.errors import PictureBroken, PictureCostly
from splitwire.shared.pictures.headers import is_heic, is_one_scan, webp_size

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM")
"""What is tried, beside HEIC where the file says that it is one. A phone's MPO is a JPEG with more behind it."""
LIMIT_BYTES = 200 << 20
"""What decoding a picture may take, its file's bytes included."""
AMPLE = 4
"""A JPEG is decoded at a half, a quarter or an eighth where that leaves so many times the wanted side."""

_PIXEL_BYTES = 4
"""What Pillow keeps for a pixel; fewer for grey ones."""
_WORKING_BYTES = {"WEBP": 12, "AVIF": 12}
"""What a format's decoder needs for a pixel beside that."""
_COEFFICIENT_BYTES = 2
"""What libjpeg keeps for each channel of a pixel, in full size, until it has read the last of several scans."""
_PNG_ROWS_BYTES = 2 * 8
"""What two rows, of 16-bit RGBA, take for a pixel."""
_BITS_PER_SAMPLE, _ROWS_PER_STRIP = 258, 278
_BAND_PIXELS = 1 << 17
_BANDS_BYTES = 4 << 20
"""What cutting and converting takes, band by band."""
_JPEGS = ("JPEG", "MPO")
_HEIC = "HEIF"
_WITH_EXTRAS = ("MPO", _HEIC)
"""A phone's picture in one of these is one photograph, and no animation."""
_ORIENTATION = 0x0112
_UPRIGHT = 1
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_TOO_MUCH = f"decoding it takes over {LIMIT_BYTES >> 20} MB"
_REMEDY = "make it smaller first"
TOO_LARGE = f"{_TOO_MUCH}; {_REMEDY}"


class View(NamedTuple):
    """What a network sees of a picture: its middle, brought to side x side pixels with antialiasing.

    ``crop``: the share of the centre square that is seen, of its side; with ``squash``, the share of each of the
    picture's sides, whatever its shape. ``bicubic``: else it is bilinear.
    """

    side: int
    crop: float = 1.0
    squash: bool = False
    bicubic: bool = False


def decode(
    data: bytes,
    name: str,
    view: View | None = None,
    *,
    formats: tuple[str, ...] = FORMATS,
    limit_bytes: int = LIMIT_BYTES,
) -> Image.Image:
    """Read a picture as upright 8-bit RGB.

    EXIF orientation is applied; transparency is laid over white; greyscale, palette, CMYK and 16-bit pictures are
    converted.

    Args:
        data: a file's bytes.
        name: what to call it in errors.
        view: what to give of it. None: all of the picture.
        formats: what to try, of ``FORMATS``.
        limit_bytes: what decoding may take by the file's header.

    Raises:
        PictureCostly: decoding it would take more.
        PictureBroken: not a picture in one of the formats, cut off, animated, or of unknown depth.

    """
    with _explained(name):
        if is_heic(data):
            if not reads_heic():
                raise PictureBroken(
                    name,
                    "a HEIC, which needs the package pillow-heif; install it, in a clone with: pip install '.[heic]'",
                )
            formats = (_HEIC, *formats)
        canvas = webp_size(data)
        if canvas is not None:  # opening it takes most of its memory
            pixel = _PIXEL_BYTES + _WORKING_BYTES["WEBP"]
            _check_cost(canvas[0] * canvas[1] * pixel, limit_bytes, canvas, name)
        with Image.open(io.BytesIO(data), formats=formats) as image:
            full_size = image.size
            if view is None:
                made = image.width * image.height
            else:
                ample = math.ceil(AMPLE * view.side / view.crop)
                image.draft(None, (ample, ample))
                made = (max if view.squash else min)(image.size) * view.side
            cost = _cost(image, full_size, data) + _PIXEL_BYTES * made
            _check_cost(cost, limit_bytes, full_size, name)
            _check_still(image, name)
            ImageOps.exif_transpose(image, in_place=True)
            return _whole(image, name) if view is None else square(image, view, name)


def convert(image: Image.Image, name: str, view: View) -> Image.Image:
    """Make of an open image what ``decode`` makes of its file, without a bound of memory; of an animation, the frame it is at.

    Raises:
        PictureBroken: it is closed, damaged, or of unknown depth.

    """
    with _explained(name):
        return square(ImageOps.exif_transpose(image), view, name)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises of a picture into what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged EXIF: the pixels are what counts
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureCostly(name, f"it has over {Image.MAX_IMAGE_PIXELS} pixels; {_REMEDY}") from None
    except UnidentifiedImageError:
        raise PictureBroken(name, f"not a picture in a known format ({', '.join(FORMATS)})") from None
    except PictureBroken:
        raise
    except MemoryError:
        raise PictureCostly(name, TOO_LARGE) from None
    except Exception as exc:  # Pillow's readers raise anything on damaged files
        raise PictureBroken(name, f"damaged, cut off, or too large ({one_line(exc)})") from exc


@cache
def reads_heic() -> bool:
    """Make Pillow read HEIC, where the package is installed; tell whether it is."""
    try:
        from pillow_heif import register_heif_opener  # noqa: PLC0415
    except ImportError:
        return False
    # In one thread, and without what a phone adds to a picture. Libheif's own limits stay in force.
    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return True


def square(image: Image.Image, view: View, name: str = "picture") -> Image.Image:
    """Cut what is seen out of a picture and bring it to side x side pixels, RGB.

    In bands: the same bits as in one go, without a copy in full size.

    Raises:
        PictureBroken: of unknown depth; ``name`` says which.

    """
    side = view.side
    if image.mode == "RGB" and image.size == (side, side) and view.crop == 1:
        return image
    smallest = min(image.size)
    width, height = (
        max(1, round(view.crop * (extent if view.squash else smallest))) for extent in image.size
    )
    left, top = (image.width - width) // 2, (image.height - height) // 2
    filtering = Image.Resampling.BICUBIC if view.bicubic else Image.Resampling.BILINEAR
    narrow = Image.new("RGB", (side, height))
    for row, band in _bands(image, (left, top, left + width, top + height), name):
        narrow.paste(band.resize((side, band.height), filtering), (0, row))
    return narrow.resize((side, side), filtering)


def one_line(exc: BaseException) -> str:
    """Write what an exception says as one line."""
    return " ".join(str(exc).split()) or type(exc).__name__


def _check_still(image: Image.Image, name: str) -> None:
    """Look for a second frame; counting them would read the whole file."""
    if image.format in _WITH_EXTRAS:
        return
    try:
        image.seek(1)
    except EOFError:
        return
    raise PictureBroken(name, "it has several frames; export the one to classify")


def _cost(image: Image.Image, full_size: tuple[int, int], data: bytes) -> float:
    """Work out from its header how many bytes decoding a picture takes, but for those of what is made of it."""
    file_copies = 2  # one with who asks
    working: float = 0
    exif_is_read = image.format != "PNG" or "exif" in image.info  # else asking for it would decode the pixels
    if exif_is_read and image.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT:
        working = _PIXEL_BYTES
    if image.format in {"WEBP", _HEIC}:
        file_copies += 1
    if image.format in _WORKING_BYTES:
        working = _WORKING_BYTES[image.format]
    elif image.format == _HEIC:
        working = len(image.getbands()) + 0.5  # libheif has all of it, of which Pillow makes its own
    elif isinstance(image, TiffImageFile) and image.info.get("compression") != "raw":
        strips = max(1, image.height / image.tag_v2.get(_ROWS_PER_STRIP, image.height))
        working += sum(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) / 8 / strips  # libtiff decodes one at a time
    cost = file_copies * len(data) + image.width * image.height * (_PIXEL_BYTES + working) + _BANDS_BYTES
    if image.format == "PNG":
        cost += _PNG_ROWS_BYTES * image.width
    elif image.format in _JPEGS and not is_one_scan(data):
        cost += full_size[0] * full_size[1] * _COEFFICIENT_BYTES * len(image.getbands())
    return cost


def _check_cost(cost: float, limit: float, size: tuple[int, int], name: str) -> None:
    if cost > limit:
        raise PictureCostly(name, f"{_TOO_MUCH}: {size[0]} x {size[1]} pixels; {_REMEDY}")


def _whole(image: Image.Image, name: str) -> Image.Image:
    picture = Image.new("RGB", image.size)
    for row, band in _bands(image, (0, 0, *image.size), name):
        picture.paste(band, (0, row))
    return picture


def _bands(
    image: Image.Image, box: tuple[int, int, int, int], name: str
) -> Iterator[tuple[int, Image.Image]]:
    """Give a part of a picture as RGB, some rows at a time, each with the number of its first row."""
    left, top, right, bottom = box
    rows = max(1, _BAND_PIXELS // (right - left))
    for start in range(top, bottom, rows):
        band = image.crop((left, start, right, min(start + rows, bottom)))
        yield start - top, _to_rgb(band, name)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        values = image.convert("I")
        lowest, highest = cast("tuple[int, int]", values.getextrema())
        if lowest < 0 or highest > 0xFFFF:
            raise PictureBroken(name, "more than 16 bits a channel; convert it to 8 or 16 bits")
        high_bytes = values.convert("I;16").tobytes()[1::2]
        return Image.frombytes("L", image.size, high_bytes).convert("RGB")
    if image.mode == "F":
        raise PictureBroken(name, "floating-point pixels; convert it to 8 or 16 bits a channel")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
