"""Which pictures a command line names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from splitwire.edge.files import files_below, is_folder
from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.pictures.loading import MAX_FILE_BYTES
from splitwire.shared.pictures.names import may_be_picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from splitwire.edge.sources import Picture

STANDARD_INPUT = Path("-")


def named_pictures(
    paths: Iterable[Path],
) -> tuple[list[tuple[str, Picture]], int, dict[Path, SettingsError]]:
    """List files as they are, the pictures below a directory by name, and the bytes of ``-``, standard input.

    Of a directory, hidden files and subdirectories are left out, and files that are not named as pictures: the second
    tells how many. A directory that can't be read or has no pictures comes with why.

    Raises:
        SettingsError: ``-`` is named twice.

    """
    pictures: list[tuple[str, Picture]] = []
    passed_over = 0
    unusable: dict[Path, SettingsError] = {}

    def unreadable(path: Path, error: OSError) -> None:
        unusable[path] = SettingsError(f"{shown(path)} can't be read ({error.strerror})")

    for path in paths:
        if path == STANDARD_INPUT:
            if any(isinstance(picture, bytes) for _, picture in pictures):
                raise SettingsError("- is named twice; standard input has one picture")
            if sys.stdin is None:
                raise SettingsError("- names standard input, which is closed")
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)  # more is refused, and may have no end
            pictures.append(("standard input", data))
        elif is_folder(path):
            files: list[Path] = []
            try:
                files = sorted(file for file, _ in files_below(path, _is_visible, unreadable))
            except OSError as exc:
                unreadable(path, exc)
            wanted = [file for file in files if may_be_picture(file.name)]
            passed_over += len(files) - len(wanted)
            pictures += [(shown(file), file) for file in wanted]
            if not wanted and path not in unusable:
                what = "pictures" if files else "files"
                unusable[path] = SettingsError(f"{shown(path)} has no {what}; name a directory with pictures")
        else:
            pictures.append((shown(path), path))
    return pictures, passed_over, unusable


def _is_visible(name: str) -> bool:
    return not name.startswith(".")
