"""The listening socket, and who is taken from it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme
from fastapi import FastAPI

from cloud.serving import listen, server_of
from cloud.settings import ServerSettings
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


@asynccontextmanager
async def served(tls: ssl.SSLContext, connections: int) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = server_of(FastAPI(), tls, protocol=Hasty, connections=connections)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.mark.anyio
async def test_a_tls_handshake_counts_as_a_connection_and_has_the_time_of_headers() -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with served(tls, connections=2) as port:
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
