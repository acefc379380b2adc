"""From a picture file to the network's input: one code for training, device and report.

file ──load_picture──> RGB, upright ──square──> centre square ──prepare──> 3x224x224 float32
"""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from shared.errors import PictureBroken, PictureMissing

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FILE_BYTES = 256 << 20
_SIXTEEN_BIT_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")


class Preparation(BaseModel):
    """How a picture becomes the network's input; part of a bundle's manifest.

    ``size``: side of the input, pixels. ``mean``, ``std``: by channel (RGB), for values in 0..1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, ge=32, le=1024)
    mean: tuple[float, float, float] = (0.48235, 0.45882, 0.40784)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1 / 255, 1 / 255, 1 / 255)


def load_picture(source: Path | bytes, name: str | None = None) -> Image.Image:
    """Read any common picture as upright 8-bit RGB.

    EXIF orientation is applied; transparency is laid over white; greyscale, palette, CMYK and
    16-bit pictures are converted.

    Args:
        source: a file, or the bytes of one.
        name: what to call it in errors; the path where there is one.

    Raises:
        PictureMissing: there is no file, or no permission to read it.
        PictureBroken: not a picture, cut off, animated, of unknown depth, or over Pillow's
            limit of 89 million pixels.

    """
    label = name or (str(source) if isinstance(source, Path) else "picture")
    data = source if isinstance(source, bytes) else read_file(source, label)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged EXIF: the pixels are what counts
            with Image.open(io.BytesIO(data)) as image:
                _check_still(image, label)
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image), label)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureBroken(
            label, f"it has over {Image.MAX_IMAGE_PIXELS} pixels; make it smaller first"
        ) from None
    except UnidentifiedImageError:
        raise PictureBroken(label, "not a picture in a known format") from None
    except PictureBroken:
        raise
    except Exception as exc:  # Pillow's readers raise anything on damaged files
        raise PictureBroken(label, f"damaged or cut off ({_one_line(exc)})") from exc


def read_file(path: Path, name: str | None = None) -> bytes:
    """Read a picture's file whole; ``name`` is what to call it in errors.

    Raises:
        PictureMissing: there is no regular file, or no permission to read it.
        PictureBroken: it is over 256 MiB.

    """
    label = name or str(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PictureMissing(label, "a directory; name the pictures in it")
        if not stat.S_ISREG(status.st_mode):
            raise PictureMissing(label, "not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise PictureBroken(label, f"over {MAX_FILE_BYTES >> 20} MiB; make it smaller first")
        return path.read_bytes()
    except FileNotFoundError:
        raise PictureMissing(label, "no such file") from None
    except PermissionError:
        raise PictureMissing(label, "no permission to read it") from None
    except OSError as exc:
        raise PictureMissing(label, f"can't be read ({_one_line(exc)})") from exc


def prepare(image: Image.Image, preparation: Preparation) -> NDArray[np.float32]:
    """Turn an RGB picture into the network's input.

    Returns:
        3 x size x size, float32, normalised: (value / 255 - mean) / std.

    """
    mean = np.asarray(preparation.mean, dtype=np.float32) * np.float32(255)
    std = np.asarray(preparation.std, dtype=np.float32) * np.float32(255)
    pixels = np.asarray(resize(image, preparation)).transpose(2, 0, 1).astype(np.float32, order="C")
    pixels -= mean[:, None, None]
    pixels /= std[:, None, None]
    return pixels


def resize(image: Image.Image, preparation: Preparation) -> Image.Image:
    """Cut the centre square and bring it to size x size pixels, bilinear with antialiasing."""
    return _centre_square(image).resize((preparation.size,) * 2, Image.Resampling.BILINEAR)


def _check_still(image: Image.Image, label: str) -> None:
    # A phone's MPO is one photograph with extras, not an animation.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise PictureBroken(label, "it has several frames; export the one to classify")


def _to_rgb(image: Image.Image, label: str) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise PictureBroken(label, "more than 16 bits a channel; convert it to 8 or 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise PictureBroken(label, "floating-point pixels; convert it to 8 or 16 bits a channel")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
