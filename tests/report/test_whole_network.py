"""The cloud that runs everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from splitwire.models.training.data.pictures import CLASS_ORDER
from splitwire.report.testbed.whole_network import WholeNetwork, create_app
from splitwire.shared.answer import CONTENT_TYPE, unpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def network(bundle_path: Path) -> WholeNetwork:
    return WholeNetwork(bundle_path)


@pytest.fixture
async def client(network: WholeNetwork) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(network))
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
        yield client


@pytest.fixture(scope="module")
def photograph(cat: Path) -> bytes:
    return cat.read_bytes()


async def test_a_photograph_of_a_cat_is_a_cat(client: httpx.AsyncClient, photograph: bytes) -> None:
    response = await client.post("/classify", content=photograph, headers=PNG)
    assert response.headers["Content-Type"] == CONTENT_TYPE
    answer = unpack(response.content)
    assert [[choice.class_id for choice in each] for each in answer.pictures] == [[CLASS_ORDER.index("cat")]]
    assert answer.timings_ms.decode > 0
    assert answer.timings_ms.tail > 0
