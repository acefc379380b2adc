"""The listening socket, and who is taken from it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from fastapi import FastAPI

from splitwire.cloud.http.acceptor import Acceptor
from splitwire.cloud.http.server import Server, listen
from splitwire.cloud.settings import ServerSettings
from tests.cloud.conftest import Hasty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_accepted_connections_send_small_packets_at_once() -> None:
    with (
        listen(ServerSettings(port=0), keys=False) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.anyio
async def test_all_who_wait_are_taken_before_it_stops_listening() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        acceptor = Acceptor(
            listener,
            asyncio.Protocol,
            made=(),
            most=100,
            refused=lambda _: None,
            pressed=lambda: False,
            tls=None,
            handshake_seconds=1,
            parting_seconds=1,
        )
        acceptor.close()
        assert acceptor.open == 40


@asynccontextmanager
async def served(tls: ssl.SSLContext, connections: int) -> AsyncIterator[tuple[Server, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(FastAPI(), tls, protocol=Hasty, connections=connections)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield server, listener.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.anyio
async def test_who_is_refused_over_tls_and_does_not_part_keeps_no_connection(
    tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    def refused(port: int) -> ssl.SSLSocket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        secure = trusting.wrap_socket(connection, server_hostname="127.0.0.1")
        secure.sendall(b"GET / HTTP/9.9\r\nHost: cloud\r\n\r\n")
        return secure

    async with served(tls, connections=2) as (server, port):
        with await asyncio.to_thread(refused, port), await asyncio.to_thread(refused, port):
            async with asyncio.timeout(5):
                while server.server_state.connections:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.05)


@pytest.mark.anyio
async def test_a_tls_handshake_counts_as_a_connection_and_has_the_time_of_headers(
    tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with served(tls, connections=2) as (_, port):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        for reader, writer in silent:
            assert await asyncio.wait_for(reader.read(), timeout=5) == b""
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: cloud\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), timeout=5)).startswith(b"HTTP/1.1 200 ")
        writer.close()
