"""Behind real proxies that keep connections to the cloud for everyone, nobody gets another one's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.cloud.malformed import CHUNKED, GET, LAST_CHUNKS
from tests.cloud.proxies import BLOCKED, found, proxy
from tests.cloud.test_protocol import connected, one_answer
from tests.load.smuggling import RIGHT, ask_beside_smugglers, reached_blocked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_requests_hidden_in_a_body_that_offers_an_upgrade_reach_nobody(
    name: str, port: int, frame: bytes, tmp_path: Path
) -> None:
    if not found(name):
        pytest.skip(f"{name} is not installed")
    with proxy(name, port, tmp_path) as public:
        seen = await ask_beside_smugglers(public, frame, seconds=2)
        async with httpx.AsyncClient() as client:
            blocked = await client.get(f"http://127.0.0.1:{public}{BLOCKED}")
            assert blocked.status_code == 403
            metrics = (await client.get(f"http://127.0.0.1:{port}{BLOCKED}")).text
    assert seen.keys() == {RIGHT}
    assert seen[RIGHT] > 20
    assert not reached_blocked(metrics)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_whatever_trailers_say_the_next_caller_is_answered(
    name: str, port: int, tmp_path: Path
) -> None:
    if not found(name):
        pytest.skip(f"{name} is not installed")
    with proxy(name, port, tmp_path) as public:
        for last in LAST_CHUNKS:
            async with connected(public) as (reader, writer):
                writer.write(CHUNKED + last)
                assert (await one_answer(reader))[0] == 400, last
            async with connected(public) as (reader, writer):
                writer.write(GET)
                assert (await one_answer(reader))[0] == 200, last
