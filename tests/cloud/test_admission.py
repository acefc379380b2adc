"""Large bodies are admitted before they are read, on real sockets; small ones always."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from splitwire.cloud.app import running_app
from splitwire.cloud.errors import QueueFull
from splitwire.cloud.http.server import Server
from splitwire.cloud.inference.admission import FREE_BYTES, LARGE_BYTES, Admission, network_of
from splitwire.cloud.inference.batcher import Batcher
from splitwire.cloud.inference.engine import Decoded
from splitwire.cloud.inference.room import Room
from splitwire.cloud.settings import CloudSettings
from splitwire.shared.frame import MAX_SHORT_BYTES, largest_frame
from tests.cloud.application import OCTETS, frame_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

pytestmark = pytest.mark.anyio

FRAME = largest_frame(MAX_SHORT_BYTES)
MOST = 8 * FRAME
LARGE = MOST // 10
"""Of bodies so large one caller may have ten."""
HEAD = b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where a cloud listens that has room for eight of the largest bodies."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with running_app(CloudSettings(device="cpu", body_bytes=MOST)) as app:
            server = Server(app, connections=2048)
            serving_now = asyncio.create_task(server.serve(sockets=[listener]))
            yield listener.getsockname()[1]
            server.should_exit = True
            await serving_now


@pytest.fixture
def large(device_bundle: Bundle) -> bytes:
    latents = list(np.random.default_rng(0).normal(size=(60, 128, 5, 5)).astype(np.float32))
    return frame_of(device_bundle, latents, "paper")


@asynccontextmanager
async def announced(
    port: int, size: int | None, sent: bytes = b"", host: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection with a body that is announced and not sent, but for the ``sent`` part; no size: chunks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    length = b"Transfer-Encoding: chunked" if size is None else b"Content-Length: %d" % size
    writer.write(HEAD + length + b"\r\n\r\n" + sent)
    try:
        await writer.drain()
        await asyncio.sleep(0.05)
        yield reader, writer
    finally:
        writer.close()


async def status_of(port: int, body: bytes, host: str = "127.0.0.1") -> int:
    transport = httpx.AsyncHTTPTransport(local_address=host)
    async with httpx.AsyncClient(transport=transport, headers=OCTETS) as client:
        return (await client.post(f"http://127.0.0.1:{port}/infer", content=body)).status_code


async def body_bytes(port: int) -> float:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    (line,) = (line for line in text.splitlines() if line.startswith("splitwire_body_bytes "))
    return float(line.split()[1])


async def test_429_before_a_body_is_read_for_which_there_is_no_room(
    port: int, frame: bytes, large: bytes
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(announced(port, LARGE))
        assert await body_bytes(port) == 10 * (LARGE - FREE_BYTES)
        reader, _ = await stack.enter_async_context(announced(port, LARGE))
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=5)).lower()
        assert head.startswith(b"http/1.1 429 ")
        assert b"\r\nretry-after: 1\r\n" in head
        assert b"\r\nconnection: close\r\n" in head
        assert json.loads(await reader.read())["error"] == "QueueFull"
        assert await status_of(port, frame) == 200, "small ones need no room"
        assert await status_of(port, large, "127.0.0.2") == 200, "another caller has its share"
    await asyncio.sleep(0.05)
    assert await body_bytes(port) == 0
    assert await status_of(port, large) == 200


async def test_chunked_bodies_count_as_they_come(port: int) -> None:
    async with AsyncExitStack() as stack:
        for size in (*[LARGE] * 9, LARGE // 2):
            await stack.enter_async_context(announced(port, size))
        before = await body_bytes(port)
        reader, writer = await stack.enter_async_context(announced(port, None))
        assert await body_bytes(port) == before
        part = LARGE // 3
        chunk = b"%x\r\n" % part + bytes(part) + b"\r\n"
        writer.write(chunk)
        await asyncio.sleep(0.2)
        assert await body_bytes(port) == before + part - FREE_BYTES
        writer.write(chunk)
        assert (await asyncio.wait_for(reader.readline(), timeout=5)).startswith(b"HTTP/1.1 429 ")


class Idle:
    """A model that answers nothing."""

    def group(self, fingerprint: int) -> int:
        return fingerprint

    def classify(self, frames: Sequence[Decoded]) -> NDArray[np.float32]:
        raise NotImplementedError


async def test_while_the_model_has_half_a_batch_of_work_only_some_of_the_room_is_for_large_bodies() -> None:
    batcher = Batcher(Idle(), queue_pictures=64, batch_pictures=8)
    bodies = Room(16 * FRAME)

    def admit(size: int) -> None:
        Admission("caller", bodies, batcher, FRAME).admit(size)

    for _ in range(9):
        admit(FRAME)
    pictures = [np.zeros(1, dtype=np.float32)] * 4
    waiting = asyncio.create_task(batcher.submit(Decoded(fingerprint=1, symbols=pictures), "caller"))
    await asyncio.sleep(0)
    with pytest.raises(QueueFull) as refused:
        admit(FRAME)
    assert refused.value.unread
    admit(LARGE_BYTES)
    batcher.start()
    with pytest.raises(RuntimeError):
        await waiting
    admit(FRAME)


async def test_a_large_body_is_not_read_for_a_queue_that_is_full() -> None:
    batcher = Batcher(Idle(), queue_pictures=64, batch_pictures=8)
    bodies = Room(16 * FRAME)
    pictures = [np.zeros(1, dtype=np.float32)] * 64
    waiting = asyncio.create_task(batcher.submit(Decoded(fingerprint=1, symbols=pictures), "caller"))
    await asyncio.sleep(0)
    for caller, admitted in (("caller", False), ("another", True)):
        admission = Admission(caller, bodies, batcher, FRAME)
        if admitted:
            admission.admit(LARGE_BYTES + 1)
            admission.end()
        else:
            with pytest.raises(QueueFull):
                admission.admit(LARGE_BYTES + 1)
        assert bodies.used == 0
    waiting.cancel()


async def test_an_answered_body_needs_no_room(port: int, large: bytes) -> None:
    for _ in range(7):
        assert await status_of(port, large) == 200
    assert await body_bytes(port) == 0


def test_a_caller_is_an_ipv4_address_or_a_household_with_ipv6() -> None:
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") != network_of("192.0.2.2")
    assert network_of("2001:db8::1") == network_of("2001:db8:0:0:ffff::2") != network_of("2001:db8:0:1::1")
    assert network_of("testclient") == "testclient"
