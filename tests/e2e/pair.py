"""The two containers of docker-compose.yml at the two ends of a slow link."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from splitwire.report.testbed.shaped_link import CLOUD_ADDRESS, Node, ShapedLink, shaped_link
from tests.e2e.containers import ROOT, Container, Mount, read_container
from tests.e2e.wire import Traffic, traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WHOLE_NETWORK_PORT = 8100
_READY_SECONDS = 120


class PairError(Exception):
    """One of the nodes does not do what it should; its last words."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one command of the device printed and cost.

    ``seconds``: from the beginning of the first picture to the last answer. ``memory``: the process's
    largest resident set in bytes, when it printed its last line.
    """

    results: tuple[dict[str, Any], ...]
    seconds: float
    traffic: Traffic
    memory: int


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The link, the device's container to be run, and the cloud's, running."""

    link: ShapedLink
    edge: Container
    cloud: Container
    cloud_process: subprocess.Popen[str]
    folder: Path

    def classify(
        self,
        pictures: Path,
        *options: str,
        command: Sequence[str] = ("classify", "/pictures"),
        environment: dict[str, str] | None = None,
        mounts: Sequence[Mount] = (),
        said: Callable[[int], None] = lambda _: None,
    ) -> Run:
        """Run the device's container on a directory; ``said`` is told how many answers there are so far."""
        cloud = urlsplit(self.edge.environment["SPLITWIRE_CLOUD"])
        port = self.link.port(cloud.port or 80)
        environment = {"SPLITWIRE_CLOUD": f"http://{cloud.hostname}:{port}", **(environment or {})}
        argv = self.edge.argv(
            self.folder / "root",
            self.folder / "hosts",
            command=[*command, *options, "--json"],
            environment=environment,
            mounts=[Mount(source=pictures, target="/pictures"), *mounts],
        )
        return self._run(argv, said)

    def send_files(self, pictures: Path, said: Callable[[int], None] = lambda _: None) -> Run:
        """Send the files themselves, to the cloud that runs everything."""
        url = f"http://{CLOUD_ADDRESS}:{self.link.port(WHOLE_NETWORK_PORT)}"
        files = sorted(map(str, pictures.iterdir()))
        return self._run([sys.executable, "-m", "tests.e2e.send_files", url, *files], said)

    def cloud_memory(self) -> int:
        """Bytes of the cloud's largest resident set."""
        return _largest_resident_set(self.cloud_process.pid)

    def _run(self, argv: Sequence[str], said: Callable[[int], None]) -> Run:
        before = traffic(self.link)
        process = self.link.device.start(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        results: list[dict[str, Any]] = []
        started = last = time.monotonic()
        memory = 0
        for line in process.stdout or ():
            results.append(json.loads(line))
            last = time.monotonic()
            if len(results) == 1:
                started = last - results[0]["timings_ms"]["total"] / 1e3
            memory = _largest_resident_set(process.pid) or memory
            said(len(results))
        _, words = process.communicate()
        if process.returncode:
            raise PairError(f"the device ended with {process.returncode}: {words.strip()[-500:]}")
        return Run(
            results=tuple(results),
            seconds=last - started,
            traffic=traffic(self.link).since(before),
            memory=memory,
        )


@contextmanager
def running_pair(*, rate: int, delay_ms: float = 0, whole_network: bool = False) -> Iterator[Pair]:
    """Start the cloud as docker-compose.yml says, at one end of a link; wait until its health check is content.

    ``rate``: bits a second. ``whole_network``: start the cloud that runs everything beside it.

    Raises:
        OSError: this machine can't have such a link.
        PairError: the cloud does not start.

    """
    with tempfile.TemporaryDirectory() as name, shaped_link(rate=rate, delay_ms=delay_ms) as link:
        folder = Path(name)
        root, hosts, key = folder / "root", folder / "hosts", folder / "api-key"
        root.mkdir()
        hosts.write_text(f"127.0.0.1 localhost\n{CLOUD_ADDRESS} cloud\n")
        key.write_text(os.urandom(18).hex())
        edge, cloud = (read_container(service, {"api-key": key}) for service in ("edge", "cloud"))
        health = cloud.health_argv(root, hosts)

        def is_healthy(_: str) -> bool:
            return link.cloud.run(health, stderr=subprocess.DEVNULL).returncode == 0

        process = _start(link.cloud, cloud.argv(root, hosts), folder / "cloud.log", is_healthy)
        if whole_network:
            command = [
                "splitwire.report.testbed.whole_network",
                "--host",
                CLOUD_ADDRESS,
                "--port",
                str(WHOLE_NETWORK_PORT),
            ]
            _start(
                link.cloud,
                [sys.executable, "-m", *command],
                folder / "whole-network.log",
                lambda log: "://" in log,
            )
        yield Pair(link=link, edge=edge, cloud=cloud, cloud_process=process, folder=folder)


def _start(
    node: Node, argv: Sequence[str], log: Path, is_ready: Callable[[str], bool]
) -> subprocess.Popen[str]:
    """Start a server and wait until it is ready, as can be told from outside or from its log."""
    with log.open("w") as file:
        process = node.start(argv, stderr=file, text=True, cwd=ROOT)
    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready(log.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise PairError(f"a cloud did not get ready: {log.read_text()[-500:]}")
        time.sleep(0.2)
    return process


def _largest_resident_set(pid: int) -> int:
    """Give VmHWM in bytes; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
