"""Real processes, started and stopped."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_cloud(*options: str) -> Iterator[str]:
    """A real ``cloud-server`` process on a free port of loopback; gives its URL."""
    command = [sys.executable, "-m", "cloud.command", "--port", "0", "--log-level", "warning", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "://" in line, f"cloud-server did not start: {line}{process.stderr.read()}"
            yield line.split()[-1]
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0
