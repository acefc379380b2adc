"""A real ``cloud-server``'s connections: while it stops, and where there are too many."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from tests.cloud.application import frame_of
from tests.load.connections import (
    LOST,
    TOLD,
    ask_while_stopping,
    open_until_refused,
    out_of_descriptors,
)
from tests.processes import cloud_process

if TYPE_CHECKING:
    from splitwire.shared.bundle import Bundle


@pytest.fixture(scope="module")
def frame(device_bundle: Bundle) -> bytes:
    return frame_of(device_bundle, [np.zeros(device_bundle.quality("paper").latent_shape, np.float32)])


def test_who_asks_while_it_stops_is_told_that_the_connection_ends_and_loses_nothing(frame: bytes) -> None:
    with cloud_process() as cloud:
        seen = asyncio.run(ask_while_stopping(cloud, frame, 64))
        assert (seen[TOLD], seen[LOST]) == (64, 0)
        assert cloud.process.wait(timeout=20) == 0


def test_an_idle_connection_may_still_ask_as_it_stops_and_otherwise_ends() -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: cloud\r\n\r\n"
    with cloud_process() as cloud, ExitStack() as stack:
        url = httpx.URL(cloud.url)
        asking, idle, silent = (
            stack.enter_context(socket.create_connection((url.host, url.port or 0), timeout=20))
            for _ in range(3)
        )
        for each in (asking, idle):
            each.sendall(request)
            assert each.recv(4096).startswith(b"HTTP/1.1 200 ")
        started = time.monotonic()
        cloud.process.terminate()
        time.sleep(0.3)
        asking.sendall(request)
        answer = asking.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert [each.recv(4096) for each in (asking, idle, silent)] == [b""] * 3
        assert cloud.process.wait(timeout=20) == 0
        assert time.monotonic() - started < 8


def test_one_connection_too_many_is_told_so_and_counted() -> None:
    with cloud_process("--connections", "5") as cloud:
        with ExitStack() as stack:
            served, refused = open_until_refused(cloud, stack, 9)
            assert (served, len(refused)) == (5, 4)
            for answer in refused:
                head, _, body = answer.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nconnection: close" in head
                assert b"\r\nretry-after: 1" in head
                assert json.loads(body)["error"] == "ConnectionsFull"
        metrics = httpx.get(f"{cloud.url}/metrics").text
        assert "\nsplitwire_open_connections 1.0\n" in metrics
        assert '\nsplitwire_refused_connections_total{reason="full"} 4.0\n' in metrics
        assert "connections are not taken reason=full" in cloud.stop()


def test_it_takes_as_many_connections_as_the_limit_of_open_files_allows() -> None:
    with cloud_process(under=("prlimit", "--nofile=84:84")) as cloud:
        with ExitStack() as stack:
            assert open_until_refused(cloud, stack, 12)[0] == 10
        assert "the limit of open files leaves room for 10 connections" in cloud.warnings + cloud.stop()


def test_who_finds_no_file_descriptor_waits_which_is_logged_and_counted() -> None:
    row = out_of_descriptors()
    assert row.reached, row.value
