"""Reading a bundle's files, whose folder may come from anybody."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from shared.errors import BundleInvalid, BundleMissing

if TYPE_CHECKING:
    from pathlib import Path

_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe without a writer is opened at once, and found to be no file."""


def read_bundle_file(bundle: Path, name: str, most: int) -> bytes:
    """Read a regular file of at most ``most`` bytes; nothing else is waited for or taken into memory.

    Raises:
        FileNotFoundError: there is none.
        BundleMissing: it can't be read.
        BundleInvalid: it is no regular file, or larger.

    """
    try:
        handle = os.open(bundle / name, os.O_RDONLY | _NO_WAITING)
        try:
            size = _checked_size(bundle, name, os.fstat(handle), most)
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read(size)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise BundleMissing(bundle, f"{name} can't be read ({exc.strerror})") from exc


def _checked_size(bundle: Path, name: str, status: os.stat_result, most: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise BundleInvalid(bundle, f"{name} is no regular file; copy the bundle again")
    if status.st_size > most:
        raise BundleInvalid(
            bundle, f"{name} has {status.st_size:,} bytes, over {most:,}; copy the bundle again"
        )
    return status.st_size
