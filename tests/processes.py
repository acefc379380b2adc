"""Real processes, started and stopped."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, kw_only=True)
class CloudProcess:
    """A ``cloud-server`` that is ready, what it warned of, the line that says so, and its URL."""

    process: subprocess.Popen[str]
    warnings: str
    line: str
    url: str

    def stop(self) -> str:
        """Ask it to stop, see that it does, and give what it wrote after its first line."""
        self.process.terminate()
        assert self.process.stderr is not None
        written = self.process.stderr.read()  # communicate() loses what came together with the first line
        assert self.process.wait(timeout=30) == 0, written
        return written


def free_port() -> int:
    """Find a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def pinned(core: int | None) -> list[str]:
    """What to put before a command so that it uses that core only, all its threads included."""
    return [] if core is None else ["taskset", "--cpu-list", str(core)]


@contextmanager
def cloud_process(
    *options: str, module: str = "splitwire.cloud.entry", core: int | None = None, under: Sequence[str] = ()
) -> Iterator[CloudProcess]:
    """A real ``cloud-server`` process on a free port of loopback; killed where it still runs at the end.

    ``module``: another one with its options. ``core``: the only one it may use. ``under``: a command
    that runs it.
    """
    command = [sys.executable, "-m", module, "--port", "0", "--log-level", "warning", *options]
    with subprocess.Popen([*under, *pinned(core), *command], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            warnings = ""
            for line in process.stderr:
                if "://" in line:
                    break
                warnings += line
            else:
                raise AssertionError(f"cloud-server did not start: {warnings}")
            url = line.split()[-1].strip('"}')
            yield CloudProcess(process=process, warnings=warnings, line=line, url=url)
        finally:
            process.kill()


@contextmanager
def running_cloud(*options: str) -> Iterator[str]:
    """The URL of a real ``cloud-server`` process, which is stopped at the end."""
    with cloud_process(*options) as cloud:
        yield cloud.url
        cloud.stop()
