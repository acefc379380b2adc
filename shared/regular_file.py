"""Reading a small file of settings, whatever is found where it should be."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe that nobody writes to is opened at once, and seen to be no file."""


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Read a regular file of at most ``most`` bytes; also give its status, taken before it was read.

    Raises:
        OSError: it can't be read, is larger, or is a directory, a pipe or a device: those are not waited for.

    """
    handle = os.open(path, os.O_RDONLY | _NO_WAITING)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(handle)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"over {most:,} bytes", str(path))
    return content, status
