"""Keys that must end: one that was revoked while no file could be opened, and a file that never does."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.load.report import Row
from tests.processes import cloud_process

_SECONDS = 20
_LOOK_SECONDS = 1.2
"""A cloud looks at its key file once a second."""


def revoked_without_descriptors() -> Row:
    """Revoke a key while the cloud can open no file: it ends when files can be opened again."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys"
        file.write_text("old\nkept\n")
        file.chmod(0o600)
        with (
            cloud_process("--key-file", str(file)) as cloud,
            httpx.Client(base_url=cloud.url, headers={"Authorization": "Bearer old"}) as client,
        ):
            statuses = [client.get("/model").status_code]
            pid = cloud.process.pid
            limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
            file.write_text("kept\n")
            time.sleep(_LOOK_SECONDS)
            statuses.append(client.get("/model").status_code)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            time.sleep(_LOOK_SECONDS)
            statuses.append(client.get("/model").status_code)
    return Row(
        name="a key revoked while no file can be opened: before, meanwhile, a second after",
        value=", ".join(map(str, statuses)),
        wanted="403 at the end",
        reached=statuses[0] == httpx.codes.OK and statuses[-1] == httpx.codes.FORBIDDEN,
    )


def endless_key_files() -> Row:
    """Start a cloud with key files that never end, or never begin."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe)
        ends = []
        for file in (pipe, Path("/dev/zero"), Path(folder)):
            command = [sys.executable, "-m", "splitwire.cloud.entry", "--port", "0", "--key-file", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
            ends.append((done.returncode, len(done.stderr.splitlines())))
    return Row(
        name="cloud-server, its key file a pipe, an endless device, a folder",
        value=", ".join(f"exit code {code}, {lines} line" for code, lines in ends),
        wanted="exit code 2 and one line each",
        reached=all(end == (2, 1) for end in ends),
    )
