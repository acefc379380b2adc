"""Kept connections while a cloud stops, and more of them than it has room for."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import numpy as np

from splitwire.shared.bundle import default_bundle_path, load_bundle
from tests.cloud.application import frame_of
from tests.load.report import Row
from tests.processes import cloud_process

if TYPE_CHECKING:
    from tests.processes import CloudProcess

_HEAD = b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
_GET = b"GET /healthz HTTP/1.1\r\nHost: cloud\r\n\r\n"
TOLD, LOST = "told that its connection ends", "lost a request"


async def ask_while_stopping(cloud: CloudProcess, frame: bytes, callers: int) -> Counter[str]:
    """Have callers ask on and on, each on its connection, and ask the cloud to stop: how each ended, and answers."""
    url = httpx.URL(cloud.url)
    seen: Counter[str] = Counter()
    warm = asyncio.Event()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = b""
        try:
            while b"connection: close" not in head:
                writer.write(_HEAD % len(frame) + frame)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
                seen[head[9:12].decode()] += 1
                if seen["200"] >= 3 * callers:
                    warm.set()
            seen[TOLD] += 1
        except (OSError, asyncio.IncompleteReadError):
            seen[LOST] += 1
        finally:
            warm.set()
            writer.close()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(ask())
        await warm.wait()
        cloud.process.terminate()
    return seen


def stopped_under_load(callers: int = 64) -> Row:
    """Stop a cloud that is asked on kept connections."""
    with cloud_process() as cloud, asyncio.Runner() as runner:
        seen = runner.run(ask_while_stopping(cloud, _frame(), callers))
        code = cloud.process.wait(timeout=30)
    return Row(
        name=f"SIGTERM under load, {callers} kept connections",
        value=f"{seen[TOLD]} told, {seen[LOST]} lost a request, exit code {code}",
        wanted="all told in an answer, none lost",
        reached=seen[TOLD] == callers and code == 0,
    )


def open_until_refused(cloud: CloudProcess, stack: ExitStack, most: int) -> tuple[int, list[bytes]]:
    """Open connections and ask on each: how many were answered, and the refusals of the rest, b"" where none came."""
    url = httpx.URL(cloud.url)
    served, refused = 0, []
    for _ in range(most):
        connection = stack.enter_context(socket.create_connection((url.host, url.port or 0), timeout=5))
        answer = b""
        try:
            connection.sendall(_GET)
            answer = connection.recv(4096)
        except OSError:  # neither answered nor refused
            pass
        if answer.startswith(b"HTTP/1.1 200 "):
            served += 1
        else:
            refused.append(answer)
    return served, refused


def more_connections_than_room(connections: int = 1000, most: int = 400) -> Row:
    """Hold connections beyond the bound: the others are told so, and served when there is room."""
    with cloud_process("--connections", str(most)) as cloud:
        with ExitStack() as stack:
            served, refused = open_until_refused(cloud, stack, connections)
        told = sum(answer.startswith(b"HTTP/1.1 503 ") for answer in refused)
        after = httpx.get(f"{cloud.url}/readyz").status_code
        log = cloud.stop().splitlines()
    return Row(
        name=f"{connections:,} connections where {most} may be open",
        value=f"{served} served, {told} told to come back, then HTTP {after}; {len(log)} lines in the log",
        wanted="each served or told, a line a second",
        reached=served == most and told == connections - most and after == 200 and 1 <= len(log) <= 60,
    )


def out_of_descriptors(connections: int = 30) -> Row:
    """Take a running cloud's descriptors away: who connects waits, it is logged and counted, and it goes on after."""
    with cloud_process() as cloud:
        httpx.get(f"{cloud.url}/readyz").raise_for_status()  # all that it needs for that is loaded
        pid = cloud.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with ExitStack() as stack:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
            url = httpx.URL(cloud.url)
            address = (url.host, url.port or 0)
            waiting = [
                stack.enter_context(socket.create_connection(address, timeout=20)) for _ in range(connections)
            ]
            for connection in waiting:
                connection.sendall(_GET)
            waiting[0].settimeout(2.5)
            try:
                early = waiting[0].recv(4096)
            except TimeoutError:
                early = b""
            waiting[0].settimeout(20)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            answered = sum(connection.recv(4096).startswith(b"HTTP/1.1 200 ") for connection in waiting)
        counted = [
            line
            for line in httpx.get(f"{cloud.url}/metrics").text.splitlines()
            if line.startswith('splitwire_refused_connections_total{reason="EMFILE"}')
        ]
        log = cloud.stop().splitlines()
    return Row(
        name=f"no file descriptors for {connections} connections, and again enough",
        value=f"{answered} answered afterwards, {len(log)} lines in the log, counted: {len(counted) == 1}",
        wanted="all answered, a line a second, counted",
        reached=not early and answered == connections and 2 <= len(log) <= 4 and len(counted) == 1,
    )


def _frame() -> bytes:
    bundle = load_bundle(default_bundle_path(), "device")
    return frame_of(bundle, [np.zeros(bundle.quality("paper").latent_shape, np.float32)])
