"""The two clouds as processes on loopback: the real one, and the one that runs the whole network."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLIT = "splitwire.cloud.entry"
WHOLE = "splitwire.report.testbed.whole_network"


def server_command(module: str, bundle: Path, *options: str) -> list[str]:
    """Write down the command that starts a server on a free port."""
    quiet = ("--log-level", "warning") if module == SPLIT else ()
    return [sys.executable, "-m", module, "--bundle", str(bundle), "--port", "0", *quiet, *options]


def url_said_by(process: subprocess.Popen[str]) -> str:
    """Wait until a server says where it is.

    Raises:
        SettingsError: it ended instead, with its own words.

    """
    line = process.stderr.readline().strip() if process.stderr else ""
    if "://" not in line:
        raise SettingsError(f"a server did not start: {line.removeprefix('error: ') or 'no reason given'}")
    return line.split()[-1]


@contextmanager
def running(module: str, bundle: Path) -> Iterator[str]:
    """Run a server on loopback for as long as the ``with`` block lasts: its URL.

    Raises:
        SettingsError: it does not start.

    """
    with subprocess.Popen(server_command(module, bundle), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield url_said_by(process)
        finally:
            process.terminate()
