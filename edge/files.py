"""The files below a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def is_folder(path: Path) -> bool:
    """Tell whether there is a folder that can be looked up; ``Path.is_dir`` raises where a path is too long or locked."""
    return os.path.isdir(path)  # noqa: PTH112


def files_below(
    folder: Path, wanted: Callable[[str], bool], unreadable: Callable[[Path, OSError], None]
) -> Iterator[tuple[Path, os.stat_result]]:
    """Find the files of a folder and its subfolders, in no order; links to folders are not followed.

    Args:
        folder: where to begin.
        wanted: whether to look at a file or subfolder of this name.
        unreadable: told of each file or subfolder that can't be read; one that has gone meanwhile is left out.

    Raises:
        OSError: the folder itself can't be read.

    """
    places = [folder]
    while places:
        place = places.pop()
        try:
            with os.scandir(place) as found:
                entries = [entry for entry in found if wanted(entry.name)]
        except OSError as exc:
            if place is folder:
                raise
            if not isinstance(exc, FileNotFoundError):
                unreadable(place, exc)
            continue
        for entry in entries:
            path = place / entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    places.append(path)
                elif entry.is_file():
                    yield path, entry.stat()
            except FileNotFoundError:
                pass
            except OSError as exc:
                unreadable(path, exc)
