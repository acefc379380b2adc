"""The cloud that runs everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from splitwire.models.training.data.pictures import CLASS_ORDER
from splitwire.report.testbed import whole_network
from splitwire.report.testbed.whole_network import WholeNetwork, create_app
from splitwire.shared.answer import CONTENT_TYPE, unpack
from tests.cloud.application import error_of

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


@pytest.mark.parametrize(
    ("body", "kind", "status", "error"),
    [
        (b"no picture", "image/png", 400, "BadRequest"),
        (b"", "image/png", 400, "BadRequest"),
        (b"no picture", "application/octet-stream", 415, "UnsupportedMediaType"),
    ],
)
async def test_what_is_no_picture_is_refused(
    client: httpx.AsyncClient, body: bytes, kind: str, status: int, error: str
) -> None:
    response = await client.post("/classify", content=body, headers={"Content-Type": kind})
    assert (response.status_code, error_of(response)) == (status, error)


async def test_a_picture_over_the_cap_is_refused(
    client: httpx.AsyncClient, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_network, "MAX_BODY_BYTES", 1000)
    response = await client.post("/classify", content=photograph, headers=PNG)
    assert response.status_code == 413
    assert "1000 bytes" in response.json()["message"]
