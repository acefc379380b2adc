"""A slow link between two nodes of this machine.

    device's namespace                                     cloud's namespace
    192.0.2.1 [wire] ==== veth pair, tc tbf at both ends ==== [wire] 192.0.2.2

Each node is a network namespace held by one process. All that runs here ends with the process that made the
link, even where that one is killed: the kernel then removes namespaces, interfaces and shaping by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INTERFACE = "wire"
DEVICE_ADDRESS = "192.0.2.1"
CLOUD_ADDRESS = "192.0.2.2"

BURST_BYTES = 1600
"""One Ethernet packet: a larger burst would let small frames pass as if there were no limit."""

SMALLEST_QUEUE_BYTES = 32_000
QUEUE_SECONDS = 0.5

TOOLS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}

STOP_SECONDS = 20

DELAYED_PORT_OFFSET = 1000


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes that the device's interface sent and received, Ethernet headers included."""

    sent: int
    received: int

    def since(self, earlier: Traffic) -> Traffic:
        """Give what came after an earlier reading."""
        return Traffic(sent=self.sent - earlier.sent, received=self.received - earlier.received)


class Node:
    """One end of the link: a network namespace, named by a process in it, and what runs there."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self.pid = pid
        self._started: list[subprocess.Popen[Any]] = []

    def command(self, argv: Sequence[str]) -> list[str]:
        """Give the command that runs another one here; it is ``bound`` to the calling process."""
        return [*bound(), "nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *argv]

    def start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401 - Popen's
        """Start a command here, stopped with the link; ``options`` are those of ``subprocess.Popen``."""
        process = subprocess.Popen(self.command(argv), start_new_session=True, **options)
        self._started.append(process)
        return process

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:  # noqa: ANN401 - run's
        """Run a command here to its end; ``options`` are those of ``subprocess.run``."""
        return subprocess.run(self.command(argv), check=False, **options)

    def stop(self) -> None:
        """Stop what was started here: SIGTERM, and SIGKILL for what still runs ``STOP_SECONDS`` later."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.communicate()


class Link:
    """The wire between two nodes; ``slow_link`` makes one."""

    def __init__(self, device: Node, cloud: Node, delay_ms: float) -> None:
        self.device = device
        self.cloud = cloud
        self._delay_ms = delay_ms
        self._delayed_ports: set[int] = set()
        self._kernel_delays = delay_ms > 0 and all(_kernel_delays(node, delay_ms) for node in (device, cloud))

    def set_rate(self, rate: int) -> None:
        """Change the rate, in bits a second, each way; what is under way stays under way."""
        for node in (self.device, self.cloud):
            _within(node, "tc", "qdisc", "change", *_shape(rate))

    @property
    def delayed_by(self) -> str:
        """What delays: ``netem``, ``proxy`` or ``nothing``."""
        return "nothing" if not self._delay_ms else "netem" if self._kernel_delays else "proxy"

    def port(self, listening: int) -> int:
        """Give the port at the cloud's address by which the device reaches, delayed, what listens there on another."""
        port = listening + DELAYED_PORT_OFFSET
        if self.delayed_by != "proxy":
            return listening
        if port in self._delayed_ports:
            return port
        argv = [
            sys.executable,
            "-m",
            "splitwire.report.testbed.delay",
            CLOUD_ADDRESS,
            str(port),
            str(listening),
            str(self._delay_ms),
        ]
        proxy = self.cloud.start(argv, stdout=subprocess.PIPE)
        if not _first_line(proxy):
            raise OSError("the delaying proxy did not start")
        self._delayed_ports.add(port)
        return port

    def cut(self) -> None:
        """Let every packet be lost, both ways, without a word to either node's programs."""
        _within(self.cloud, "ip", "link", "set", INTERFACE, "down")

    def restore(self) -> None:
        """Undo ``cut``."""
        _within(self.cloud, "ip", "link", "set", INTERFACE, "up")

    def traffic(self) -> Traffic:
        """Read the counters of the device's interface, both ways."""
        (interface,) = json.loads(
            _within(self.device, "ip", "-json", "-statistics", "link", "show", INTERFACE)
        )
        counted = interface["stats64"]
        return Traffic(sent=counted["tx"]["bytes"], received=counted["rx"]["bytes"])


@contextmanager
def slow_link(*, rate: int, delay_ms: float = 0) -> Iterator[Link]:
    """Join two nodes for as long as the ``with`` block lasts; at its end, what was started in them is stopped.

    ``rate`` is in bits a second, each way. ``delay_ms`` is in milliseconds, each way: by netem, or where the kernel
    has none by a proxy in the cloud's namespace, which ``Link.port`` puts before a server.

    Raises:
        OSError: this machine can't have such a link; ``obstacle`` says why.

    """
    with _node(DEVICE_ADDRESS) as device, _node(CLOUD_ADDRESS) as cloud:
        _tool("ip", "link", "add", INTERFACE, "netns", str(device.pid), "type", "veth",
              "peer", "name", INTERFACE, "netns", str(cloud.pid))  # fmt: skip
        for node in (device, cloud):
            # IPv6 would add packets of its own to the counters.
            _within(
                node, "sh", "-c", "echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6 >/dev/null || true"
            )
            _within(node, "ip", "address", "add", f"{node.address}/30", "dev", INTERFACE)
            _within(node, "ip", "link", "set", INTERFACE, "up")
            _within(node, "ip", "link", "set", "lo", "up")
            _within(node, "tc", "qdisc", "add", *_shape(rate))
        yield Link(device, cloud, delay_ms)


def bound() -> list[str]:
    """Give what is put before a command so that the kernel kills it when the calling process ends.

    The kernel forgets it when the command changes its user.
    """
    unless_it_has_ended = 'test "$PPID" = "$0" && exec "$@"'
    return ["setpriv", "--pdeathsig=KILL", "sh", "-c", unless_it_has_ended, str(os.getpid())]


def obstacle() -> str | None:
    """Why there can be no link here, in one line; None where there can be one."""
    if not sys.platform.startswith("linux"):
        return "a shaped link needs Linux"
    if os.geteuid() != 0:
        return "a shaped link needs root"
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            return f"a shaped link needs {tool}: install {package}"
    try:
        with slow_link(rate=1_000_000):
            return None
    except OSError as error:
        return f"no shaped link here: {error}"


@contextmanager
def _node(address: str) -> Iterator[Node]:
    """Hold a network namespace with a process that lives as long as its standard input is open."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with holder:
        if not _first_line(holder):
            raise OSError("unshare --net was refused")
        node = Node(address, holder.pid)
        try:
            yield node
        finally:
            node.stop()


def _first_line(process: subprocess.Popen[Any]) -> bytes:
    return next(iter(process.stdout or ()), b"")


def _kernel_delays(node: Node, delay_ms: float) -> bool:
    """Let the kernel delay what a node sends; False where it has no netem."""
    try:
        _within(node, "tc", "qdisc", "add", "dev", INTERFACE, "parent", "1:1", "handle", "2:",
                "netem", "delay", f"{delay_ms}ms", "limit", "10000")  # fmt: skip
    except OSError:
        return False
    return True


def _shape(rate: int) -> list[str]:
    """Options of ``tc qdisc`` for a rate in bits a second."""
    queue = max(SMALLEST_QUEUE_BYTES, round(rate / 8 * QUEUE_SECONDS))
    return ["dev", INTERFACE, "root", "handle", "1:", "tbf", "rate", f"{rate}bit",
            "burst", str(BURST_BYTES), "limit", str(queue)]  # fmt: skip


def _within(node: Node, *argv: str) -> str:
    return _tool(*node.command(argv))


def _tool(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
