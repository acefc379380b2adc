"""What nobody should send, and everybody can."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import cycle, islice
from typing import TYPE_CHECKING

import httpx
import numpy as np

from splitwire.shared.frame import HEADER_BYTES
from tests.load.asking import Asker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_AT_ONCE = 32
_HEAD = b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\n"


def malformed_bodies(frames: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Make bodies without end: mutated, cut and extended frames, giant counts and lengths, random bytes.

    By chance a few are valid frames, of other pictures.
    """
    rng = np.random.default_rng(seed)
    while True:
        frame = frames[int(rng.integers(len(frames)))]
        at = int(rng.integers(len(frame)))
        match rng.integers(7):
            case 0:
                yield frame[:at] + rng.bytes(int(rng.integers(1, 9))) + frame[at:]
            case 1:
                at = int(rng.integers(HEADER_BYTES + 2))
                yield frame[:at] + rng.bytes(1) + frame[at + 1 :]
            case 2:
                yield frame[:at]
            case 3:
                yield frame + rng.bytes(int(rng.integers(1, 20_000)))
            case 4:
                many = bytes([frame[5] | 0x80, int(rng.integers(256))])
                yield frame[:5] + many + rng.bytes(int(rng.integers(300))) + frame[HEADER_BYTES:]
            case 5:
                yield frame[:HEADER_BYTES] + rng.bytes(len(frame) - HEADER_BYTES)
            case _:
                yield rng.bytes(int(rng.integers(2, 5_000)))


async def send_malformed(url: str, frames: Sequence[bytes], count: int, seed: int = 0) -> Counter[int]:
    """Send so many malformed bodies: the answers by status; 0 where there was none."""
    statuses: Counter[int] = Counter()
    bodies = malformed_bodies(frames, seed)
    asker = Asker(url=httpx.URL(url))

    async def send(share: int) -> None:
        for _ in range(share):
            status = 0
            with suppress(OSError, asyncio.IncompleteReadError):
                status = (await asker.infer(next(bodies))).status
            statuses[status] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(_AT_ONCE):
            group.create_task(send(len(range(number, count, _AT_ONCE))))
    asker.close()
    return statuses


_BROKEN = (
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n" * 9000,
    b"GET / HTTP/9.9\r\n\r\n",
    b"CONNECT cloud:443 HTTP/1.1\r\nHost: cloud\r\n\r\n",
    b"GET /" + b"a" * 40_000,
    b"GET /%ff%00 HTTP/1.1\r\nHost: cloud\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 40_000,
    b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * 9000,
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\n\r\n" * 2000,
    _HEAD[:40],
    _HEAD + b"Content-Length: 3206\r\n\r\n",
    _HEAD + b"Content-Length: 3206\r\n\r\n\x51" + bytes(1000),
    _HEAD + b"Content-Length: 99999999999\r\n\r\n",
    _HEAD + b"Content-Length: 9999999999999999999999\r\n\r\n",
    _HEAD + b"Content-Length: -1\r\n\r\n",
    _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    _HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 40_000,
    _HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + b"x: y\r\n" * 9000,
    _HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n" + bytes(100_000),
    _HEAD + b"Expect: 100-continue\r\nContent-Length: 3206\r\n\r\n",
    _HEAD + b"Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\nabc",
)


FAILED = "answered 5xx"
"""How a connection must not end."""


async def break_connections(url: str, count: int, patience: float) -> Counter[str]:
    """Open so many connections at once, each with bytes of its own kind and an end of its own kind: how they ended.

    They are closed, reset, left open in silence, kept alive by single bytes, or asked on and never read.
    "still open": the cloud has not ended one in ``patience`` seconds.
    """
    address = httpx.URL(url)
    ends = cycle([_close, _reset, _wait, _drip, _never_read])
    kinds = islice(zip(cycle(_BROKEN), ends, strict=False), count)  # 24 and 5: every pair comes
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_break(str(address.host), address.port or 0, data, end, patience))
            for data, end in kinds
        ]
    return Counter(task.result() for task in tasks)


_End = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]


async def _break(host: str, port: int, data: bytes, end: _End, patience: float) -> str:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return "not taken"
    try:
        async with asyncio.timeout(patience):
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
                return await end(reader, writer)
            return "cut by the cloud"
    except TimeoutError:
        return "still open"
    finally:
        writer.close()


async def _close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.close()
    return "closed"


async def _reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return "reset"


async def _wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> str:
    answered = await reader.read()
    return FAILED if b"HTTP/1.1 5" in answered else "ended by the cloud"


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    waiting = asyncio.create_task(_wait(reader, writer))
    try:
        while not waiting.done():
            writer.write(b"x")
            await writer.drain()
            await asyncio.wait([waiting], timeout=0.1)
        return await waiting
    finally:
        waiting.cancel()


async def _never_read(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: cloud\r\n\r\n" * 60)
    await asyncio.sleep(1)
    return "not read"
