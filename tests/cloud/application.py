"""The application on httpx's own transport, and frames for it."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from splitwire.cloud.app import application_of
from splitwire.cloud.inference.service import Service
from splitwire.cloud.settings import CloudSettings
from splitwire.shared.frame import Frame, pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

OCTETS = {"Content-Type": "application/octet-stream"}


@asynccontextmanager
async def serving(
    *, clock: Callable[[], float] = time.monotonic, **settings: object
) -> AsyncIterator[httpx.AsyncClient]:
    service = Service(CloudSettings(device="cpu", **settings), clock=clock)
    transport = httpx.ASGITransport(application_of(service), raise_app_exceptions=False)
    async with (
        service.running(),
        httpx.AsyncClient(transport=transport, base_url="http://cloud", headers=OCTETS) as client,
    ):
        yield client


def frame_of(bundle: Bundle, latents: list[NDArray[np.float32]], quality: str = "int8") -> bytes:
    codec = bundle.codec(quality)
    return pack(
        Frame(
            fingerprint=bundle.manifest.fingerprint(quality),
            quality=bundle.manifest.qualities[quality].id,
            payloads=tuple(codec.encode(codec.quantise(latent)) for latent in latents),
        )
    )


def error_of(response: httpx.Response) -> str:
    body = response.json()
    assert body["message"]
    return str(body["error"])
