"""Requests hidden in the bodies of others, beside callers who mean no harm."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections import Counter
from contextlib import suppress
from itertools import count, cycle
from pathlib import Path

import httpx
import numpy as np

from splitwire.cloud.http.limits import MAX_HEADER_LINES
from splitwire.shared.bundle import default_bundle_path, load_bundle
from tests.cloud.application import frame_of
from tests.cloud.malformed import BROKEN_CHUNKS, CHUNKED, GET, MALFORMED
from tests.cloud.proxies import BLOCKED, found, proxy
from tests.load.report import Row
from tests.processes import cloud_process

RIGHT, WRONG, FAILED = "own answer", "another's answer", "no answer"
_HIDDEN = f"GET {BLOCKED} HTTP/1.1\r\nHost: cloud\r\nX-Request-Id: hidden\r\nX: ".encode()
"""What comes next on the connection is to become the value of its last header."""
_FRAME_HEAD = (
    "Host: cloud\r\nContent-Type: application/octet-stream\r\nX-Request-Id: {}\r\nContent-Length: {}\r\n"
)


async def ask_beside_smugglers(port: int, frame: bytes, seconds: float) -> Counter[str]:
    """Have callers ask while others hide requests: what the callers got."""
    seen: Counter[str] = Counter()
    end = asyncio.get_running_loop().time() + seconds
    numbers = count()

    async def call() -> None:
        while asyncio.get_running_loop().time() < end:
            name = f"caller-{next(numbers)}"
            lines = _FRAME_HEAD.format(name, len(frame))
            answer = await _answer(port, f"POST /infer HTTP/1.1\r\n{lines}\r\n".encode() + frame)
            right = f"x-request-id: {name}\r\n".encode() in answer and b" 200 " in answer[:13]
            seen[RIGHT if right else WRONG if answer else FAILED] += 1

    async def smuggle() -> None:
        for milliseconds in cycle(range(5)):  # so that now and then the body comes just behind the head
            if asyncio.get_running_loop().time() > end:
                break
            lines = _FRAME_HEAD.format("smuggler", len(_HIDDEN)) + "Connection: upgrade\r\nUpgrade: x\r\n"
            await _answer(port, f"POST /infer HTTP/1.1\r\n{lines}\r\n".encode(), _HIDDEN, milliseconds)

    async with asyncio.TaskGroup() as group:
        for task in (call, call, call, smuggle) * 6:
            group.create_task(task())
    return seen


async def _answer(port: int, request: bytes, rest: bytes = b"", milliseconds: float = 0) -> bytes:
    """One request, its rest a little later, on a connection of its own: what came back, its headers in lower case."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                await asyncio.sleep(1e-3 * milliseconds)
                writer.write(rest)
                return (await reader.readuntil(b"\r\n\r\n")).lower()
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return b""


def smuggled_behind(name: str, seconds: float = 8) -> Row:
    """Hide requests behind a proxy that passes upgrades on; ``name``: nginx or haproxy."""
    bundle = load_bundle(default_bundle_path(), "device")
    frame = frame_of(bundle, [np.zeros(bundle.quality("paper").latent_shape, np.float32)])
    row = Row(
        name=f"requests hidden behind {name}, which passes Upgrade on",
        value=f"{name} is not installed",
        wanted="each caller its own answer",
    )
    if not found(name):
        return row
    with tempfile.TemporaryDirectory() as folder, cloud_process() as cloud:
        cloud_port = httpx.URL(cloud.url).port or 0
        with proxy(name, cloud_port, Path(folder)) as port:
            seen = asyncio.run(ask_beside_smugglers(port, frame, seconds))
        reached = reached_blocked(httpx.get(f"{cloud.url}{BLOCKED}").text)
    value = (
        f"{seen[RIGHT]} own, {seen[WRONG]} another's, {seen[FAILED]} none; blocked path reached: {reached}"
    )
    right = seen[RIGHT] == seen.total() > 0 and not reached
    return row.model_copy(update={"value": value, "reached": right})


def refused_in_words(times: int = 5) -> Row:
    """Send what is no request, or could be read as another one, and too many requests at once, each so many times."""
    kinds = [(each + GET, 1) for each in (*MALFORMED, *(CHUNKED + chunk for chunk in BROKEN_CHUNKS))]
    kinds.append((GET * 200, 2 + MAX_HEADER_LINES))
    right = 0
    with cloud_process() as cloud:
        url = httpx.URL(cloud.url)
        for data, answers in kinds * times:
            with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
                connection.sendall(data)
                received = b""
                with suppress(ConnectionResetError):
                    while more := connection.recv(65_536):
                        received += more
            *_, last = received.split(b"HTTP/1.1 ")
            right += received.count(b"HTTP/1.1 ") == answers and last.startswith(b"400 ")
    return Row(
        name=f"{len(kinds)} kinds of requests that are none, {times} times each, with another one behind",
        value=f"{right} of {len(kinds) * times} refused with 400, what is behind not read",
        wanted="all",
        reached=right == len(kinds) * times,
    )


def reached_blocked(metrics: str) -> bool:
    """Tell from a cloud's metrics whether anyone was answered on the blocked path before."""
    return f'splitwire_requests_total{{route="{BLOCKED}"' in metrics
