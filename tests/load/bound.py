"""An end for every target, whatever hangs."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 120
"""How long something may take that is sure to come; of pictures, each next answer."""


def end_within(minutes: int) -> None:
    """End this process with one line after so many minutes; what it started is stopped on the way out."""

    def end(*_: object) -> NoReturn:
        sys.exit(f"not done within {minutes} minutes; is the machine busy?")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(60 * minutes)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what is sure to come; end this process with one line where it does not."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"it did not happen within {PATIENCE_SECONDS} s")
        time.sleep(0.02)
