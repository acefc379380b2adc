"""One client, used by threads, closed under their hands, taken through a fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from splitwire import AsyncClient, Client
from splitwire.edge import client as module
from splitwire.edge.errors import ClientClosed
from splitwire.edge.pipeline import open_pipeline
from splitwire.shared.errors import SettingsError, codes_of
from tests.raw_server import RawServer, raw_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from splitwire.edge.pipeline import Pipeline
    from splitwire.edge.results import Result
    from splitwire.edge.settings import DeviceSettings

THREADS = 8


def hang(*_: object) -> Iterator[bytes]:
    time.sleep(5)
    yield b""


def wait_for_a_request(server: RawServer) -> None:
    while not server.requests:
        time.sleep(0.01)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[DeviceSettings]:
    opened: list[DeviceSettings] = []

    def noting(settings: DeviceSettings) -> AbstractAsyncContextManager[Pipeline]:
        opened.append(settings)
        return open_pipeline(settings)

    monkeypatch.setattr(module, "open_pipeline", noting)
    return opened


def test_threads_whose_first_call_opens_a_client_share_it(
    cloud_url: str, cat: Path, opened: list[DeviceSettings]
) -> None:
    start = threading.Barrier(THREADS)

    def call(_: int) -> str | None:
        start.wait()
        return client.classify(cat).label

    client = Client(cloud=cloud_url)
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(call, range(THREADS))) == ["cat"] * THREADS
    client.close()
    assert len(opened) == 1


def test_a_call_that_close_cuts_is_one_of_our_errors(cat: Path) -> None:
    with raw_server(hang) as server, ThreadPoolExecutor(THREADS) as pool:
        client = Client(cloud=server.url, deadline_ms=60_000)
        calls: list[Future[Result]] = [pool.submit(client.classify, cat) for _ in range(THREADS - 1)]
        calls.append(pool.submit(lambda: next(client.classify_files([cat]))))
        wait_for_a_request(server)
        started = time.monotonic()
        client.close()
        for call in calls:
            assert isinstance(call.exception(timeout=10), ClientClosed)
        assert time.monotonic() - started < 4
    assert codes_of(ClientClosed("")).exit == codes_of(SettingsError("")).exit


def test_calls_and_closes_in_any_order_end_in_answers_or_that_error(cloud_url: str, cat: Path) -> None:
    client = Client(cloud=cloud_url)
    done = threading.Event()
    labels: set[str | None] = set()

    def call() -> None:
        while not done.is_set():
            try:
                labels.add(client.classify(cat).label)
            except ClientClosed:
                labels.add("closed")

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        client.close()
    done.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    client.close()
    assert labels <= {"cat", "closed"}


def test_closing_twice_using_it_again_and_entering_it_twice_are_all_right(cloud_url: str, cat: Path) -> None:
    client = Client(cloud=cloud_url)
    client.close()
    with client, client:
        assert client.classify(cat).label == "cat"
    with client:
        assert client.classify(cat).label == "cat"
    client.close()
    client.close()


def test_files_that_were_begun_before_closing_do_not_go_on_after_it(cloud_url: str, cat: Path) -> None:
    client = Client(cloud=cloud_url)
    results = client.classify_files([cat] * 3)
    next(results)
    client.close()
    with pytest.raises(ClientClosed):
        next(results)
    assert client.classify(cat).label == "cat"
    client.close()


@pytest.mark.anyio
async def test_an_asynchronous_client_cuts_its_calls_in_the_same_way(cat: Path) -> None:
    with raw_server(hang) as server:
        async with AsyncClient(cloud=server.url, deadline_ms=60_000) as client:
            calls = [asyncio.create_task(client.classify(cat)) for _ in range(3)]
            await asyncio.to_thread(wait_for_a_request, server)
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [ClientClosed] * 3


FORKED = """
import os, sys, warnings
from splitwire import Client
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork beside threads

client = Client(cloud=sys.argv[2] or None, deadline_ms=20_000)
mine = client.classify(sys.argv[1]).label
reading, writing = os.pipe()
child = os.fork()
if not child:
    try:
        os.write(writing, client.classify(sys.argv[1]).label.encode())
        client.close()
    finally:
        os._exit(0)
os.close(writing)
theirs = os.read(reading, 100).decode()
os.waitpid(child, 0)
print(mine, theirs, client.classify(sys.argv[1]).label)
client.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system can't fork")
@pytest.mark.parametrize("embedded", [False, True])
def test_a_fork_opens_a_client_of_its_own(cloud_url: str, cat: Path, *, embedded: bool) -> None:
    command = [sys.executable, "-c", FORKED, str(cat), "" if embedded else cloud_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.stdout == "cat cat cat\n", done.stderr
    assert not done.stderr
