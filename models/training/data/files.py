"""Where pictures' files are. They are read when asked for, so that a data set never has to fit into memory."""

from __future__ import annotations

import io
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitwire.shared.pictures.loading import read_file


class Archive:
    """An uncompressed tar file; a temporary one is deleted once no member refers to it any more."""

    def __init__(self, path: Path, *, temporary: bool = False) -> None:
        self.path = path
        if temporary:
            weakref.finalize(self, path.unlink, missing_ok=True)


@dataclass(frozen=True, slots=True)
class Member:
    """Bytes in a tar file."""

    archive: Archive
    offset: int
    size: int

    def read(self) -> bytes:
        """Read them."""
        with self.archive.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


Source = str | Member | bytes | NDArray[np.uint8]
"""A file's path, a part of a tar file, a file's bytes, or pixels [height, width, 3] that are in no file."""


def read(source: Source, name: str) -> bytes:
    """Read a picture's file.

    Raises:
        PictureError: it can't be read; ``name`` says which.

    """
    if isinstance(source, str):
        return read_file(Path(source), name)
    if isinstance(source, Member):
        return source.read()
    return source if isinstance(source, bytes) else as_png(source)


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """Write pixels [height, width, 3] as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class Files(Sequence[bytes]):
    """Files' bytes, each read when it is asked for."""

    def __init__(self, sources: tuple[Source, ...], names: tuple[str, ...]) -> None:
        self.sources = sources
        self._names = names

    def __len__(self) -> int:
        """Count the files."""
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[bytes, ...]: ...
    def __getitem__(self, index: int | slice) -> bytes | tuple[bytes, ...]:
        """Read one file, or some."""
        if isinstance(index, slice):
            return tuple(map(read, self.sources[index], self._names[index]))
        return read(self.sources[index], self._names[index])
