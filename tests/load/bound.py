"""An end for every target, whatever hangs."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def end_within(minutes: int) -> None:
    """End this process with one line after so many minutes; what it started is stopped on the way out."""

    def end(*_: object) -> NoReturn:
        sys.exit(f"not done within {minutes} minutes; is the machine busy?")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(60 * minutes)
