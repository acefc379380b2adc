"""Which pictures a command line names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.pictures.loading import MAX_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

STANDARD_INPUT = Path("-")


def named_pictures(paths: Iterable[Path]) -> tuple[list[Path | bytes], dict[Path, SettingsError]]:
    """List files as they are, the files of a directory by name, and the bytes of ``-``, standard input.

    Hidden files of a directory, and its subdirectories, are left out. A directory that can't be read or has no files
    comes with why.

    Raises:
        SettingsError: ``-`` is named twice.

    """
    pictures: list[Path | bytes] = []
    unusable: dict[Path, SettingsError] = {}
    for path in paths:
        if path == STANDARD_INPUT:
            if any(isinstance(picture, bytes) for picture in pictures):
                raise SettingsError("- is named twice; standard input has one picture")
            pictures.append(sys.stdin.buffer.read(MAX_FILE_BYTES + 1))  # more is refused, and may have no end
        elif path.is_dir():
            try:
                pictures += _files(path)
            except SettingsError as exc:
                unusable[path] = exc
        else:
            pictures.append(path)
    return pictures, unusable


def _files(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as exc:
        raise SettingsError(f"{shown(folder)} can't be read ({exc.strerror})") from exc
    if not files:
        raise SettingsError(f"{shown(folder)} has no files; name a directory with pictures")
    return files
