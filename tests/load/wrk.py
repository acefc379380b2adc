"""wrk: as many requests as so many connections can make."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from pydantic import BaseModel

from tests.load.machine import cores
from tests.processes import pinned

if TYPE_CHECKING:
    from collections.abc import Sequence

_SCRIPT = """
local requests, last = {}, 0
local headers = {["Content-Type"] = "application/octet-stream", ["Accept"] = "%(accept)s"}
local bodies = {
%(bodies)s
}

function init()
  for number, body in ipairs(bodies) do
    requests[number] = wrk.format("POST", "%(path)s", headers, body)
  end
end

function request()
  last = last %% #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "refused": %%d, "broken": %%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class Load(BaseModel):
    """What came of it: answers, their latencies, and how many were refused (no 2xx) or never came."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @property
    def served(self) -> float:
        """Answers a second that are no refusals."""
        return (self.requests - self.refused) / self.seconds


def wrk(
    url: str,
    frames: Sequence[bytes],
    *,
    seconds: float,
    connections: int = 64,
    path: str = "/infer",
    accept: str = "application/json",
    refusals: bool = False,
) -> Load:
    """Send the frames over and over, one after the other on each connection, from the client's core.

    ``refusals``: they are expected, and counted; otherwise they end the program.
    """
    if shutil.which("wrk") is None:
        sys.exit("wrk is needed: on Debian, apt install wrk")
    _, core = cores()
    bodies = ",\n".join('"' + "".join(f"\\{byte:03}" for byte in frame) + '"' for frame in frames)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % {"bodies": bodies, "path": path, "accept": accept})
        script.flush()
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--timeout", "30s"]
        done = subprocess.run(
            [*pinned(core), *command, "--duration", f"{seconds:.0f}s", "--script", script.name, url],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
    load = Load.model_validate_json(done.stderr)
    if not refusals and (load.refused or load.broken):
        sys.exit(
            f"{url}: of {load.requests} answers {load.refused} were refusals, and {load.broken} never came"
        )
    return load
