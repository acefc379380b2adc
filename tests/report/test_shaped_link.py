"""The shaped link: what it is made of, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from splitwire.report.testbed.shaped_link import (
    BURST_BYTES,
    CLOUD_ADDRESS,
    INTERFACE,
    ShapedLink,
    obstacle,
    shaped_link,
)
from tests.e2e.wire import cut, restore, traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = f"""
import socket
server = socket.create_server(("{CLOUD_ADDRESS}", 9))
print("ready", flush=True)
while True:
    with server.accept()[0] as connection:
        connection.sendall(connection.recv(1000).upper())
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1) as connection:
    connection.sendall(b"hello")
    assert connection.recv(1000) == b"HELLO"
"""
HOLDER = """
import time
from splitwire.report.testbed.shaped_link import shaped_link
with shaped_link(rate=1_000_000) as link:
    started = [node.start(["sleep", "600"]).pid for node in (link.device, link.cloud)]
    print(link.device.pid, link.cloud.pid, *started, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := obstacle():
        pytest.skip(reason)


@pytest.fixture(params=[0, 5], ids=["prompt", "delayed"])
def link(request: pytest.FixtureRequest) -> Iterator[ShapedLink]:
    with shaped_link(rate=1_000_000, delay_ms=request.param) as link:
        server = link.cloud.start([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
        assert server.stdout
        server.stdout.readline()
        yield link


def reaches(link: ShapedLink) -> bool:
    argv = [sys.executable, "-c", CLIENT, CLOUD_ADDRESS, str(link.port(9))]
    return link.device.run(argv, stderr=subprocess.DEVNULL).returncode == 0


def test_packets_pass_both_ways_and_are_counted_until_the_link_is_cut(link: ShapedLink) -> None:
    before = traffic(link)
    assert reaches(link)
    passed = traffic(link).since(before)
    assert passed.sent > len("hello")
    assert passed.received > len("HELLO")
    cut(link)
    before = traffic(link)
    assert not reaches(link)
    assert traffic(link).since(before).received == 0
    restore(link)
    assert reaches(link)


def test_the_rate_changes_at_both_ends_and_the_burst_stays_one_packet(link: ShapedLink) -> None:
    link.set_rate(20_000)
    for node in (link.device, link.cloud):
        done = node.run(["tc", "-json", "qdisc", "show", "dev", INTERFACE], capture_output=True)
        (shape,) = (each for each in json.loads(done.stdout) if each["kind"] == "tbf")
        assert shape["options"]["rate"] == 20_000 / 8
        assert shape["options"]["burst"] == pytest.approx(BURST_BYTES, abs=50)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_process_ends(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as holder:
        assert holder.stdout
        pids = [int(word) for word in holder.stdout.readline().split()]
        assert len(pids) == 4
        holder.send_signal(number)
        holder.wait(30)
    deadline = time.monotonic() + 30
    while any(map(_runs, pids)):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_a_node_does_not_reach_this_machines_own_network(link: ShapedLink) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        argv = [sys.executable, "-c", CLIENT, "127.0.0.1", str(ours.getsockname()[1])]
        assert link.device.run(argv, stderr=subprocess.DEVNULL).returncode
