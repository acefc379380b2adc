"""From a picture file to the network's input: one code for training, device and report.

file ──load_picture──> RGB, upright ──square──> side x side pixels ──normalise──> 3 x side x side, float32
                                    └─────────────── prepare ─────────────────┘
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from splitwire.shared.errors import PictureBroken, PictureMissing
from splitwire.shared.pictures.decoding import View, decode, one_line, square
from splitwire.shared.pictures.names import is_url, is_video
from splitwire.shared.regular_file import FileUnfit, read_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

MAX_FILE_BYTES = 64 << 20
TOO_LARGE = f"over {MAX_FILE_BYTES >> 20} MiB; make it smaller first"
_URL = "a URL; download it first, for example with curl -LO, and name the file"
_VIDEO = "a video; make pictures of it first, one a second: ffmpeg -i VIDEO -r 1 frame-%04d.png"


class Preparation(BaseModel):
    """How a picture becomes the network's input; part of a bundle's manifest.

    ``size``: side of the input, pixels. ``mean``, ``std``: by channel (RGB), for values in 0..1. ``crop``, ``squash``:
    see ``View``; what is left at its default is not written, so that what was there before them is still the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, ge=32, le=1024)
    mean: tuple[float, float, float] = (0.48235, 0.45882, 0.40784)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1 / 255, 1 / 255, 1 / 255)
    crop: float = Field(default=1.0, gt=0.1, le=1)
    squash: bool = False
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @property
    def view(self) -> View:
        """What is seen of a picture."""
        return View(self.size, self.crop, self.squash, self.interpolation == "bicubic")

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        newer = ("crop", "squash", "interpolation")
        return {
            name: value
            for name, value in write(self).items()
            if name not in newer or value != type(self).model_fields[name].default
        }


def load_picture(source: Path | bytes, name: str | None = None) -> Image.Image:
    """Read any common picture as upright 8-bit RGB; see ``splitwire.shared.pictures.decoding.decode``.

    Args:
        source: a file, or the bytes of one.
        name: what to call it in errors; the path where there is one.

    Raises:
        PictureMissing: there is no file, or no permission to read it.
        PictureCostly: decoding it would take too much memory.
        PictureBroken: not a picture, cut off, animated, or of unknown depth.

    """
    label = name or (str(source) if isinstance(source, Path) else "picture")
    return decode(source if isinstance(source, bytes) else read_file(source, label), label)


def read_file(path: Path, name: str | None = None) -> bytes:
    """Read a picture's file whole; ``name`` is what to call it in errors.

    Raises:
        PictureMissing: there is no regular file, or no permission to read it.
        PictureBroken: it is over ``MAX_FILE_BYTES``.

    """
    label = name or str(path)
    try:
        if is_video(path) and path.exists():
            raise PictureBroken(label, _VIDEO)
        return read_regular(path, MAX_FILE_BYTES)[0]
    except FileUnfit as exc:
        if exc.errno == errno.EFBIG:
            raise PictureBroken(label, TOO_LARGE) from None
        folder = exc.errno == errno.EISDIR
        raise PictureMissing(
            label, "a directory; name the pictures in it" if folder else str(exc.strerror)
        ) from None
    except FileNotFoundError:
        raise PictureMissing(label, _URL if is_url(path) else "no such file") from None
    except PermissionError:
        raise PictureMissing(label, "no permission to read it") from None
    except OSError as exc:
        raise PictureMissing(label, f"can't be read ({one_line(exc)})") from exc


def prepare(image: Image.Image, preparation: Preparation) -> NDArray[np.float32]:
    """Turn an RGB picture into the network's input: 3 x size x size, float32."""
    return normalise(square(image, preparation.view), preparation)


def normalise(seen: Image.Image | NDArray[np.uint8], preparation: Preparation) -> NDArray[np.float32]:
    """Turn what is seen of a picture, or of several, into the network's input.

    Args:
        seen: size x size pixels in RGB: [..., size, size, 3].
        preparation: the network's.

    Returns:
        [..., 3, size, size], float32: (value / 255 - mean) / std.

    """
    mean = np.asarray(preparation.mean, dtype=np.float32) * np.float32(255)
    std = np.asarray(preparation.std, dtype=np.float32) * np.float32(255)
    pixels = np.moveaxis(np.asarray(seen), -1, -3).astype(np.float32, order="C")
    pixels -= mean[:, None, None]
    pixels /= std[:, None, None]
    return pixels
