"""Callers that are slow, broken or hostile, on real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from splitwire.cloud.http.limits import MAX_HEADER_LINES
from splitwire.shared.frame import MAX_SHORT_BYTES, largest_frame
from tests.cloud.malformed import GET, HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
LARGEST = largest_frame(MAX_SHORT_BYTES)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server ends the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while data := await asyncio.wait_for(reader.read(65_536), timeout=5):
            received += data
    return received


async def one_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=5)
    length = next(
        int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if b"content-length" in line
    )
    return int(head.split()[1]), await reader.readexactly(length)


async def test_headers_that_do_not_arrive_get_408_and_the_connection_ends(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(HEADERS[:30])
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "HeadersLate"


async def test_headers_that_drip_have_no_more_time(port: int) -> None:
    async with connected(port) as (reader, writer):
        receiving = asyncio.create_task(rest_of(reader))
        writer.write(GET[:-2])
        for _ in range(50):
            if receiving.done():
                break
            writer.write(b"x: y\r\n")
            await asyncio.sleep(0.1)
        assert receiving.done()
        assert b" 408 " in await receiving


async def test_a_connection_that_sends_nothing_ends(port: int) -> None:
    async with connected(port) as (reader, _):
        assert await rest_of(reader) == b""


async def test_a_connection_is_kept_after_an_answer_longer_than_one_that_sends_nothing(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(GET)
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.6)
        writer.write(GET)
        assert b"HTTP/1.1 200 " in await rest_of(reader)


async def test_a_body_that_drips_gets_408_and_the_connection_is_cut(port: int) -> None:
    async with connected(port) as (reader, writer):
        receiving = asyncio.create_task(rest_of(reader))
        writer.write(HEADERS + b"Content-Length: 100000\r\n\r\n")
        for _ in range(100):
            if receiving.done():
                break
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert receiving.done()
        answer = await receiving
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"BodyLate" in answer


async def test_a_body_that_nobody_reads_does_not_keep_the_connection(port: int) -> None:
    async with connected(port) as (reader, writer):
        receiving = asyncio.create_task(rest_of(reader))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            if receiving.done():
                break
            writer.write(b"x")
            await asyncio.sleep(0.05)
        assert receiving.done()
        assert (await receiving).startswith(b"HTTP/1.1 200 ")


async def test_who_sends_too_much_can_read_the_413_before_the_connection_ends(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n")
        receiving = asyncio.create_task(rest_of(reader))
        with suppress(ConnectionError):
            for _ in range(4 * LARGEST // 65_536):
                writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
                await writer.drain()
        answer = await receiving
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"BodyTooLarge" in answer


@pytest.mark.parametrize("length", [b"Content-Length: 1000000000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /nowhere HTTP/1.1\r\nHost: cloud\r\n", 404),
        (b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: text/plain\r\n", 415),
        (HEADERS, 413),
    ],
)
async def test_of_a_large_body_that_was_refused_little_is_read(
    port: int, head: bytes, status: int, length: bytes
) -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    async with connected(port) as (reader, writer):
        writer.write(head + length + b"\r\n\r\n")
        receiving = asyncio.create_task(rest_of(reader))
        sent = 0
        with suppress(ConnectionError):
            while sent < 64 << 20:
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)
        assert sent < 32 << 20
        assert (await receiving).startswith(b"HTTP/1.1 %d " % status)


async def test_headers_without_end_are_refused_while_they_arrive(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * 20_000)
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"x" * 40_000,
        b"\r\n" * 20_000,
        HEADERS + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"x" * 40_000,
        HEADERS + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: " + b"y" * 40_000,
    ],
)
async def test_nothing_else_may_be_without_end_either(port: int, endless: bytes) -> None:
    async with connected(port) as (reader, writer):
        receiving = asyncio.create_task(rest_of(reader))
        with suppress(ConnectionError):
            for first in range(0, len(endless), 4096):
                writer.write(endless[first : first + 4096])
                await writer.drain()
                await asyncio.sleep(0.01)
        answer = await receiving
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_headers_over_their_caps_are_refused_with_431(port: int) -> None:
    for lines in (b"x: " + b"y" * 20_000 + b"\r\n", b"x: y\r\n" * 5_000):
        async with connected(port) as (reader, writer):
            writer.write(GET[:-2] + lines + b"\r\n")
            assert (await one_answer(reader))[0] == 431


async def test_a_caller_may_not_ask_on_and_on_before_an_answer(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(GET * 500)
        answer = await rest_of(reader)
    assert answer.count(b"HTTP/1.1 200 ") == 1 + MAX_HEADER_LINES
    assert answer.count(b"HTTP/1.1 ") == 2 + MAX_HEADER_LINES
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["error"] == "RequestMalformed"


async def test_who_does_not_read_on_is_cut(port: int, bundle_path: Path) -> None:
    name = "device/vgg16.ncnn.bin"
    async with connected(port) as (reader, writer):
        writer.write(f"GET /bundles/vgg16-cifar10/{name} HTTP/1.1\r\nHost: cloud\r\n\r\n".encode())
        await asyncio.sleep(1.5)
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(answer) < (bundle_path / name).stat().st_size


@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        HEADERS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: cloud\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEADERS + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEADERS + b"Content-Length: -1\r\n\r\n",
        HEADERS + b"Content-Length: 10\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_bytes_that_are_not_http_end_their_connection_and_nothing_else(
    port: int, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(port) as (reader, writer):
        writer.write(junk)
        await asyncio.sleep(0.1)
        writer.write(b"no chunk\r\n\r\n")
        answer = await rest_of(reader)
    assert b" 500 " not in answer
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    async with connected(port) as (reader, writer):
        writer.write(GET)
        assert (await one_answer(reader))[0] == 200


async def test_a_kept_connection_serves_several_requests_together_or_apart(port: int) -> None:
    async with connected(port) as (reader, writer):
        for requests in (GET, GET + GET, GET):
            writer.write(requests)
            for _ in range(requests.count(b"GET")):
                assert await one_answer(reader) == (200, b'{"status":"alive"}')
            await asyncio.sleep(0.2)


async def test_a_head_request_gets_headers_alone(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"HEAD /readyz HTTP/1.1\r\nHost: cloud\r\nConnection: close\r\n\r\n")
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
