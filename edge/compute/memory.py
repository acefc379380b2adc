"""The process's memory."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Return to the system what was freed; glibc keeps it for later where something in use lies above it."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
