"""What a picture may be given as."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitwire.shared.errors import PictureBroken, PictureMissing, shown
from splitwire.shared.pictures.decoding import one_line
from splitwire.shared.pictures.loading import MAX_FILE_BYTES

Picture = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
"""A file's path, its bytes, or the file opened in binary mode; an image of Pillow; an array of 8-bit pixels, RGB
[height, width, 3] or grey [height, width]."""


def name_of(picture: Picture, otherwise: str) -> str:
    """Find what to call a picture: its file's path, where that is known."""
    if isinstance(picture, str | os.PathLike):
        return shown(Path(picture))
    path = getattr(picture, "filename" if isinstance(picture, Image.Image) else "name", None)
    return shown(path) if isinstance(path, str) and path else otherwise


def opened(picture: Picture, name: str) -> Path | bytes | Image.Image:
    """Bring a picture to what ``PictureDecoder`` takes; ``name``: what errors call it.

    Raises:
        PictureMissing: the open file can't be read.
        PictureBroken: it is nothing that can be a picture.

    """
    if isinstance(picture, bytes | Image.Image):
        return picture
    if isinstance(picture, str | os.PathLike):
        return Path(picture)
    if isinstance(picture, np.ndarray):
        if (
            picture.dtype == np.uint8
            and picture.size
            and picture.shape[2:] in {(), (3,)}
            and picture.ndim > 1
        ):
            return Image.fromarray(np.ascontiguousarray(picture))
        what = f"an array of {picture.dtype} {list(picture.shape)}"
        raise PictureBroken(
            name, f"{what}; uint8 is expected, [height, width, 3] (RGB) or [height, width] (grey)"
        )
    if not hasattr(picture, "read"):
        what = type(picture).__name__
        raise PictureBroken(
            name, f"{what} is no picture; a path, bytes, open file, PIL image or array is expected"
        )
    try:
        data = picture.read(MAX_FILE_BYTES + 1)  # more is refused, and may have no end
    except (OSError, ValueError) as exc:
        raise PictureMissing(name, f"can't be read ({one_line(exc)})") from exc
    if not isinstance(data, bytes):
        raise PictureBroken(name, "a file opened as text; open it in binary mode, as open(path, 'rb')")
    return data
