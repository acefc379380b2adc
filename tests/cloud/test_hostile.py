"""In seconds what `make hostile` does in minutes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cloud.application import OCTETS
from tests.load.attacks import FAILED, break_connections, send_malformed
from tests.load.hostile import run_schemathesis

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
async def label(port: int, frame: bytes) -> str:
    return await labelled(port, frame)


async def labelled(port: int, frame: bytes) -> str:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=OCTETS) as client:
        response = await client.post("/infer", content=frame)
    return str(response.json()["predictions"][0]["label"])


@pytest.mark.anyio
async def test_malformed_bodies_are_refused_and_the_next_answer_is_right(
    port: int, frame: bytes, label: str
) -> None:
    statuses = await send_malformed(f"http://127.0.0.1:{port}", [frame], 600)
    assert statuses.keys() <= {200, 400, 409, 413}
    assert statuses[400] > 400
    assert await labelled(port, frame) == label


@pytest.mark.anyio
async def test_broken_and_slow_connections_end_and_the_next_answer_is_right(
    port: int, frame: bytes, label: str, caplog: pytest.LogCaptureFixture
) -> None:
    endings = await break_connections(f"http://127.0.0.1:{port}", 120, patience=20)
    assert endings.total() == 120
    assert not endings.keys() & {"still open", "not taken", FAILED}
    assert await labelled(port, frame) == label
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.slow
def test_the_openapi_description_holds(cloud_url: str, tmp_path: Path) -> None:
    tried = run_schemathesis(cloud_url, 10, "--seed", "1", "--report-dir", str(tmp_path))
    assert tried.returncode == 0, tried.stdout
