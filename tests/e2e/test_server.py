"""``cloud-server`` as a process: how it stops, who may connect, what it says."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import trustme

from tests.cloud.application import OCTETS, frame_of
from tests.manifests import rewrite_manifest
from tests.processes import cloud_process, running_cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from splitwire.shared.bundle import Bundle
    from tests.processes import CloudProcess

HEAD = (
    b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n"
)


@pytest.fixture(scope="module")
def frame(device_bundle: Bundle) -> bytes:
    """As many pictures as a frame may have."""
    rng = np.random.default_rng(0)
    return frame_of(device_bundle, [rng.normal(size=(128, 5, 5)).astype(np.float32) for _ in range(64)])


@contextmanager
def arriving(cloud: CloudProcess, frame: bytes) -> Iterator[socket.socket]:
    """A connection on which the cloud waits for a body of the frame's length: it has admitted the request."""
    url = httpx.URL(cloud.url)
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        connection.sendall(HEAD % len(frame) + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(frame[:1000])
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


def wait_until_draining(cloud: CloudProcess) -> None:
    for _ in range(200):
        if httpx.get(f"{cloud.url}/readyz").status_code == 503:
            return
        time.sleep(0.05)
    pytest.fail("the cloud is still ready")


def test_sigterm_answers_what_is_queued_and_exits_0(frame: bytes) -> None:
    with cloud_process() as cloud, ExitStack() as stack:
        connections = [stack.enter_context(arriving(cloud, frame)) for _ in range(6)]
        for connection in connections:
            connection.sendall(frame[1000:])
        cloud.stop()
        assert [rest_of(connection)[:13] for connection in connections] == [b"HTTP/1.1 200 "] * 6


def test_a_draining_cloud_is_alive_but_not_ready_and_answers_only_what_it_has_admitted(frame: bytes) -> None:
    with cloud_process("--drain-seconds", "20") as cloud, arriving(cloud, frame) as connection:
        cloud.process.send_signal(signal.SIGTERM)
        wait_until_draining(cloud)
        refused = httpx.post(f"{cloud.url}/infer", content=frame, headers=OCTETS)
        assert (refused.status_code, refused.json()["error"]) == (503, "NotReady")
        assert int(refused.headers["Retry-After"]) >= 1
        assert httpx.get(f"{cloud.url}/healthz").status_code == 200
        connection.sendall(frame[1000:])
        assert rest_of(connection).startswith(b"HTTP/1.1 200 ")
        assert cloud.process.wait(timeout=15) == 0


def test_a_body_that_still_arrives_at_the_end_of_the_drain_is_cut(frame: bytes) -> None:
    with cloud_process("--drain-seconds", "1") as cloud, arriving(cloud, frame) as connection:
        started = time.monotonic()
        written = cloud.stop()
        assert time.monotonic() - started < 8
        assert written == ""
        with suppress(ConnectionResetError):
            assert rest_of(connection) == b""


def test_an_interrupt_stops_it_as_well() -> None:
    with cloud_process() as cloud:
        cloud.process.send_signal(signal.SIGINT)
        assert cloud.process.wait(timeout=20) == 0


def test_tls_with_a_certificate_that_the_device_trusts(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(key)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with running_cloud("--tls-certificate", str(chain), "--tls-key", str(key)) as url:
        assert url.startswith("https://127.0.0.1:")
        assert httpx.get(f"{url}/readyz", verify=trusting).json() == {"status": "ready"}
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{url}/readyz")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url.replace('https', 'http')}/readyz")


@pytest.mark.slow
def test_without_keys_other_machines_are_served_only_where_that_was_asked_for(tmp_path: Path) -> None:
    with cloud_process() as cloud:
        assert "this machine only" in cloud.line
    with cloud_process("--host", "0.0.0.0", "--open") as cloud:
        assert "OPEN TO ALL" in cloud.line
        assert httpx.get(f"{cloud.url}/readyz").status_code == 200
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    with cloud_process("--host", "0.0.0.0", "--key-file", str(keys)) as cloud:
        assert "keys asked for" in cloud.line
        assert httpx.get(f"{cloud.url}/model").status_code == 401


def test_the_log_is_json_from_the_first_line_where_asked_for() -> None:
    with cloud_process("--log-format", "json", "--log-level", "info") as cloud:
        httpx.get(f"{cloud.url}/healthz", headers={"X-Request-Id": "mine"})
        lines = [json.loads(line) for line in [cloud.line, *cloud.stop().splitlines()]]
    assert lines[0]["bundles"] == ["vgg16-cifar10"]
    assert [line["path"] for line in lines if line.get("request_id") == "mine"] == ["/healthz"]


def test_several_bundles_are_named_by_repeating_the_option(bundle_path: Path, bundle_copy: Path) -> None:
    rewrite_manifest(bundle_copy, lambda values: values.update(id="next"))
    with running_cloud("--bundle", str(bundle_path), "--bundle", str(bundle_copy)) as url:
        loaded = httpx.get(f"{url}/model").json()["bundles"]
        listed = httpx.get(f"{url}/bundles").json()["bundles"]
    assert [each["manifest"]["id"] for each in loaded] == ["vgg16-cifar10", "next"]
    assert [each["id"] for each in listed] == ["vgg16-cifar10", "next"]


def test_the_version_is_printed() -> None:
    command = [sys.executable, "-m", "splitwire.cloud.entry", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"splitwire {version('splitwire')}\n"
