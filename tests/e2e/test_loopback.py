"""A real server process, the real command, real pictures, real sockets."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.golden import FOLDER
from tests.manifests import rewrite_manifest
from tests.processes import running_cloud


def edge_client(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "splitwire.edge.commands.cli", "classify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def results(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_photograph_of_a_cat_is_a_cat(cloud_url: str, cat: Path) -> None:
    done = edge_client(cat, "--cloud", cloud_url, "--json")
    (result,) = results(done)
    assert (done.returncode, done.stderr) == (0, "")
    assert result["label"] == "cat"
    assert result["source"] == "cloud"


def test_pictures_share_a_frame_and_the_socket_counts_its_bytes(cloud_url: str, cat: Path) -> None:
    alone, *together = results(edge_client(cat, "--cloud", cloud_url, "--json")) + results(
        edge_client(cat, cat, cat, cat, "--cloud", cloud_url, "--json", "--deadline-ms", 60_000)
    )
    assert alone["body_bytes"] == 3206
    assert 3206 + 100 < alone["wire_bytes"] < 3206 + 500, "headers and answer"
    assert {result["label"] for result in together} == {"cat"}
    shared = [result for result in together if result["body_bytes"] != alone["body_bytes"]]
    assert shared, "on a busy machine not all"
    assert all(3200 < result["body_bytes"] < 3206 for result in shared)
    assert all(result["wire_bytes"] < alone["wire_bytes"] for result in shared)


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["paper", "int8"])
def test_200_test_pictures_get_the_committed_answers(
    cloud_url: str, sample: dict[str, Path], quality: str
) -> None:
    expected = json.loads((FOLDER / "predictions.json").read_text())[quality]
    assert sample.keys() == expected.keys()
    done = edge_client(*sample.values(), "--cloud", cloud_url, "--json", "--quality", quality)
    assert done.returncode == 0, done.stderr
    given = {Path(result["path"]).name: result["class_id"] for result in results(done)}
    agreement = np.mean([given[name] == expected[name] for name in expected])
    assert agreement >= 0.99


def test_the_embedded_cloud_gives_the_same_answer_as_a_process(cloud_url: str, cat: Path) -> None:
    over_socket, embedded = (
        results(edge_client(cat, "--json", *more))[0] for more in (["--cloud", cloud_url], [])
    )
    assert embedded["label"] == over_socket["label"]
    assert embedded["probability"] == pytest.approx(over_socket["probability"], abs=1e-4)
    assert embedded["body_bytes"] == over_socket["body_bytes"]


def test_a_device_with_another_bundle_is_told_both_fingerprints(
    cloud_url: str, cat: Path, bundle_copy: Path
) -> None:
    rewrite_manifest(bundle_copy, lambda values: values["classes"].reverse())
    done = edge_client(cat, "--cloud", cloud_url, "--bundle", bundle_copy)
    assert done.returncode == 6
    assert "no loaded bundle has fingerprint" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_cloud_with_a_key_serves_only_who_has_it(cat: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    with running_cloud("--key-file", str(keys)) as url:
        assert edge_client(cat, "--cloud", url, "--key", "secret").returncode == 0
        for key, message in (([], "401"), (["--key", "wrong"], "403")):
            done = edge_client(cat, "--cloud", url, *key)
            assert done.returncode == 6
            assert message in done.stderr


def test_a_cloud_that_is_ready_says_so(cloud_url: str) -> None:
    assert httpx.get(f"{cloud_url}/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--bundle", "/nowhere"], 4, "no manifest.json there"),
        (["--port", "1", "--host", "192.0.2.1"], 2, "can't listen on 192.0.2.1 port 1"),
        (["--key-file", "/nowhere"], 2, "key file /nowhere can't be read"),
        (["--device", "cuda:99"], 2, "can't be used here"),
        (["--log-level", "loud"], 2, "Choose from"),
        (["--host", "0.0.0.0"], 2, "give --key-file, or --open"),
        (["--tls-key", "/nowhere"], 2, "needs both"),
        (["--tls-certificate", "/nowhere", "--tls-key", "/nowhere"], 2, "certificate /nowhere"),
        (["--tls-certificate", __file__, "--tls-key", __file__], 2, "give PEM files"),
    ],
)
def test_a_server_that_can_not_start_says_why_in_one_line(
    options: list[str], code: int, message: str
) -> None:
    command = [sys.executable, "-m", "splitwire.cloud.entry", "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_second_cloud_on_the_same_port_is_refused(cloud_url: str) -> None:
    command = [sys.executable, "-m", "splitwire.cloud.entry", "--port", cloud_url.rpartition(":")[2]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "choose another --host or --port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_bundle_is_refused_at_start(bundle_copy: Path) -> None:
    shutil.copy(bundle_copy / "cloud" / "cae.safetensors", bundle_copy / "cloud" / "classifier.safetensors")
    command = [sys.executable, "-m", "splitwire.cloud.entry", "--port", "0", "--bundle", str(bundle_copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 4
    assert "classifier.safetensors has SHA-256" in done.stderr
    assert done.stderr.count("\n") == 1
