"""Reading a file of which nobody knows what it is: only a regular one of bounded size is read."""

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
        FileUnfit: it is larger, or a directory, a pipe or a device; nothing was read or waited for.
        OSError: it can't be read.

    """
    handle = os.open(path, os.O_RDONLY | _NO_WAITING)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
            raise FileUnfit(code, "not a regular file", str(path))
        if status.st_size > most:
            raise FileUnfit(errno.EFBIG, f"over {most:,} bytes", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(most), status
    finally:
        os.close(handle)


class FileUnfit(OSError):
    """What is there is not to be read: too many bytes (EFBIG), a directory (EISDIR), no regular file (EINVAL)."""
