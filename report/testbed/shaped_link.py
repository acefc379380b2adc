"""A slow link between two nodes of this machine.

    device's namespace                                     cloud's namespace
    192.0.2.1 [wire] ==== veth pair, tc tbf at both ends ==== [wire] 192.0.2.2

Each node is a network namespace held by one process. All that runs here ends with the process that made the
link, even where that one is killed: the kernel then removes namespaces, interfaces and shaping by itself.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Result = TypeVar("Result")

INTERFACE = "wire"
DEVICE_ADDRESS = "192.0.2.1"
CLOUD_ADDRESS = "192.0.2.2"

BURST_BYTES = 1600
"""One Ethernet packet: a larger burst would let small frames pass as if there were no limit."""
SMALLEST_QUEUE_BYTES = 32_000
QUEUE_SECONDS = 0.5

TOOLS = {"ip": "iproute2", "tc": "iproute2", **dict.fromkeys(("nsenter", "setpriv", "unshare"), "util-linux")}
STOP_SECONDS = 20
DELAYED_PORT_OFFSET = 1000
_CLONE_NEWNET = 0x40000000


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

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function in a thread of this process that is in the namespace: its sockets are there."""
        # Python 3.12 has os.setns.
        libc = ctypes.CDLL(None, use_errno=True)

        def within() -> Result:
            with Path(f"/proc/{self.pid}/ns/net").open() as namespace:
                if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns was refused")
            return function()

        threads = ThreadPoolExecutor(1)
        try:
            return threads.submit(within).result()
        finally:
            threads.shutdown(wait=False)

    def stop(self) -> None:
        """Stop what was started here: SIGTERM, and SIGKILL for what still runs ``STOP_SECONDS`` later."""
        for process in self._started:
            process.terminate()
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.communicate()


class ShapedLink:
    """The wire between two nodes; ``shaped_link`` makes one."""

    def __init__(self, device: Node, cloud: Node, delay_ms: float) -> None:
        self.device = device
        self.cloud = cloud
        self._delay_ms = delay_ms
        self._delayed_ports: set[int] = set()
        self.delayed_by = "nothing"
        """Or ``netem`` or ``proxy``."""
        if delay_ms:
            by_kernel = all(_kernel_delays(node, delay_ms) for node in (device, cloud))
            self.delayed_by = "netem" if by_kernel else "proxy"

    def set_rate(self, rate: int) -> None:
        """Change the rate, in bits a second, each way; what is under way stays under way."""
        for node in (self.device, self.cloud):
            _within(node, "tc", "qdisc", "change", *_shape(rate))

    def port(self, listening: int) -> int:
        """Give the port at the cloud's address by which the device reaches, delayed, what listens there on another."""
        port = listening + DELAYED_PORT_OFFSET
        if self.delayed_by != "proxy":
            return listening
        if port in self._delayed_ports:
            return port
        proxy = self.cloud.start(
            [sys.executable, "-m", "splitwire.report.testbed.delay", CLOUD_ADDRESS]
            + [str(each) for each in (port, listening, self._delay_ms)],
            stdout=subprocess.PIPE,
        )
        if not _first_line(proxy):
            raise OSError("the delaying proxy did not start")
        self._delayed_ports.add(port)
        return port


@contextmanager
def shaped_link(*, rate: int, delay_ms: float = 0) -> Iterator[ShapedLink]:
    """Join two nodes for as long as the ``with`` block lasts; at its end, what was started in them is stopped.

    ``rate`` is in bits a second, each way. ``delay_ms`` is in milliseconds, each way: by netem, or where the kernel
    has none by a proxy in the cloud's namespace, which ``ShapedLink.port`` puts before a server.

    Raises:
        OSError: this machine can't have such a link; ``obstacle`` says why.

    """
    with _node(DEVICE_ADDRESS) as device, _node(CLOUD_ADDRESS) as cloud:
        _tool("ip", "link", "add", INTERFACE, "netns", str(device.pid), "type", "veth",
              "peer", "name", INTERFACE, "netns", str(cloud.pid))  # fmt: skip
        for node in (device, cloud):
            # IPv6 would add packets of its own to the counters.
            without_ipv6 = "echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6 >/dev/null || true"
            _within(node, "sh", "-c", without_ipv6)
            _within(node, "ip", "address", "add", f"{node.address}/30", "dev", INTERFACE)
            _within(node, "ip", "link", "set", INTERFACE, "up")
            _within(node, "ip", "link", "set", "lo", "up")
            _within(node, "tc", "qdisc", "add", *_shape(rate))
        yield ShapedLink(device, cloud, delay_ms)


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
        with shaped_link(rate=1_000_000):
            return None
    except OSError as error:
        return f"no shaped link here: {error}"


@contextmanager
def _node(address: str) -> Iterator[Node]:
    """Hold a network namespace with a process that lives as long as its standard input is open."""
    command = ["unshare", "--net", "sh", "-c", "echo && exec cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as holder:
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
