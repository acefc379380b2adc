"""A served application and a frame for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cloud.application import frame_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    import numpy as np
    from numpy.typing import NDArray

    from shared.bundle import Bundle


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with serving() as client:
        yield client


@pytest.fixture
def frame(device_bundle: Bundle, latent: NDArray[np.float32]) -> bytes:
    return frame_of(device_bundle, [latent])
