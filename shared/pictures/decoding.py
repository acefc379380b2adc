"""From the bytes of a picture file to RGB, within a bound of memory. Needs nothing but Pillow, and starts nothing."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, cast

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from splitwire.shared.errors import PictureBroken, PictureCostly
from splitwire.shared.pictures.headers import is_one_scan, webp_size

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM")
"""What is tried. A phone's MPO is a JPEG with more behind it."""
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
_ORIENTATION = 0x0112
_UPRIGHT = 1
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_TOO_MUCH = f"decoding it takes over {LIMIT_BYTES >> 20} MB"
_REMEDY = "make it smaller first"
TOO_LARGE = f"{_TOO_MUCH}; {_REMEDY}"


def decode(
    data: bytes,
    name: str,
    side: int | None = None,
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
        side: of the centre square to give, in pixels: made with antialiasing, bilinear. None: all of the picture.
        formats: what to try, of ``FORMATS``.
        limit_bytes: what decoding may take by the file's header.

    Raises:
        PictureCostly: decoding it would take more.
        PictureBroken: not a picture in one of the formats, cut off, animated, or of unknown depth.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged EXIF: the pixels are what counts
            canvas = webp_size(data)
            if canvas is not None:  # opening it takes most of its memory
                pixel = _PIXEL_BYTES + _WORKING_BYTES["WEBP"]
                _check_cost(canvas[0] * canvas[1] * pixel, limit_bytes, canvas, name)
            with Image.open(io.BytesIO(data), formats=formats) as image:
                full_size = image.size
                if side is not None:
                    image.draft(None, (AMPLE * side, AMPLE * side))
                made = min(image.size) * side if side else image.width * image.height
                cost = _cost(image, full_size, data) + _PIXEL_BYTES * made
                _check_cost(cost, limit_bytes, full_size, name)
                _check_still(image, name)
                ImageOps.exif_transpose(image, in_place=True)
                return _whole(image, name) if side is None else square(image, side, name)
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


def square(image: Image.Image, side: int, name: str = "picture") -> Image.Image:
    """Cut the centre square of a picture and bring it to side x side pixels, RGB, bilinear with antialiasing.

    In bands: the same bits as in one go, without a copy in full size.

    Raises:
        PictureBroken: of unknown depth; ``name`` says which.

    """
    if image.mode == "RGB" and image.size == (side, side):
        return image
    extent = min(image.size)
    left, top = (image.width - extent) // 2, (image.height - extent) // 2
    narrow = Image.new("RGB", (side, extent))
    for row, band in _bands(image, (left, top, left + extent, top + extent), name):
        narrow.paste(band.resize((side, band.height), Image.Resampling.BILINEAR), (0, row))
    return narrow.resize((side, side), Image.Resampling.BILINEAR)


def one_line(exc: BaseException) -> str:
    """Write what an exception says as one line."""
    return " ".join(str(exc).split()) or type(exc).__name__


def _check_still(image: Image.Image, name: str) -> None:
    """Look for a second frame; counting them would read the whole file."""
    if image.format == "MPO":  # a phone's is one photograph with extras, not an animation
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
    if image.format == "WEBP":
        file_copies += 1
    if image.format in _WORKING_BYTES:
        working = _WORKING_BYTES[image.format]
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
