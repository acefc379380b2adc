"""A served application and a frame for it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from splitwire.cloud.app import application_of
from splitwire.cloud.http.protocol import Protocol
from splitwire.cloud.http.server import Server
from splitwire.cloud.inference.service import Service
from splitwire.cloud.settings import CloudSettings
from tests.cloud.application import frame_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


class Hasty(Protocol):
    header_seconds = 0.4
    rest_seconds = 0.3
    reading_seconds = 0.3
    idle_seconds = 0.8


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with serving() as client:
        yield client


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where a cloud listens that does not wait for long."""
    service = Service(CloudSettings(device="cpu", body_seconds=0.4))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with service.running():
            server = Server(
                application_of(service), connections=2048, protocol=Hasty, metrics=service.metrics
            )
            serving_now = asyncio.create_task(server.serve(sockets=[listener]))
            yield listener.getsockname()[1]
            server.should_exit = True
            await serving_now


@pytest.fixture
def frame(device_bundle: Bundle, latent: NDArray[np.float32]) -> bytes:
    return frame_of(device_bundle, [latent])
