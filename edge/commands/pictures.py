"""Which pictures a command line names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from splitwire.edge.files import files_below, is_folder
from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.pictures.loading import MAX_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

STANDARD_INPUT = Path("-")


def named_pictures(paths: Iterable[Path]) -> tuple[list[Path | bytes], dict[Path, SettingsError]]:
    """List files as they are, the files below a directory by name, and the bytes of ``-``, standard input.

    Hidden files and hidden subdirectories are left out. A directory that can't be read or has no files comes with why.

    Raises:
        SettingsError: ``-`` is named twice.

    """
    pictures: list[Path | bytes] = []
    unusable: dict[Path, SettingsError] = {}
    for path in paths:
        if path == STANDARD_INPUT:
            if any(isinstance(picture, bytes) for picture in pictures):
                raise SettingsError("- is named twice; standard input has one picture")
            if sys.stdin is None:
                raise SettingsError("- names standard input, which is closed")
            pictures.append(sys.stdin.buffer.read(MAX_FILE_BYTES + 1))  # more is refused, and may have no end
        elif is_folder(path):
            pictures += _files(path, unusable)
        else:
            pictures.append(path)
    return pictures, unusable


def _files(folder: Path, unusable: dict[Path, SettingsError]) -> list[Path]:
    def unreadable(path: Path, error: OSError) -> None:
        unusable[path] = SettingsError(f"{shown(path)} can't be read ({error.strerror})")

    files: list[Path] = []
    try:
        files = sorted(path for path, _ in files_below(folder, _is_visible, unreadable))
    except OSError as exc:
        unreadable(folder, exc)
    if not files and folder not in unusable:
        unusable[folder] = SettingsError(f"{shown(folder)} has no files; name a directory with pictures")
    return files


def _is_visible(name: str) -> bool:
    return not name.startswith(".")
