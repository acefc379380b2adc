"""Several bundles at once, and the device's part of them to fetch."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from splitwire.cloud.inference.engine import Engine
from splitwire.shared.bundle import Manifest, load_bundle
from splitwire.shared.errors import BundleFileMismatch, BundleInvalid
from splitwire.shared.messages import Answer, BundleList, Model
from tests.cloud.application import error_of, frame_of, serving
from tests.manifests import rewrite_manifest

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

pytestmark = pytest.mark.anyio


@pytest.fixture
def other_path(bundle_copy: Path) -> Path:
    """The shipped bundle under another id, with its classes' names turned round: another contract."""
    rewrite_manifest(bundle_copy, lambda values: values.update(id="other", classes=values["classes"][::-1]))
    return bundle_copy


async def test_a_frame_is_answered_by_the_bundle_of_its_fingerprint(
    bundle_path: Path, other_path: Path, device_bundle: Bundle, latent: NDArray[np.float32]
) -> None:
    other = load_bundle(other_path, "device")
    async with serving(bundles=(bundle_path, other_path)) as client:
        responses = [
            await client.post("/infer", content=frame_of(bundle, [latent]))
            for bundle in (device_bundle, other)
        ]
        unknown = await client.post("/infer", content=b"\x51\x01\x02\x03\x04\x01\x00")
        model = Model.model_validate_json((await client.get("/model")).content)
    ours, theirs = (Answer.model_validate_json(response.content) for response in responses)
    assert (ours.bundle, theirs.bundle) == (device_bundle.manifest.id, "other")
    class_id = ours.predictions[0].class_id
    assert theirs.predictions[0].class_id == class_id
    assert theirs.predictions[0].label == device_bundle.manifest.classes[9 - class_id]
    assert error_of(unknown) == "FingerprintUnknown"
    assert set(unknown.json()["loaded"].values()) >= {f"{device_bundle.manifest.id}/int8", "other/int8"}
    assert [loaded.manifest.id for loaded in model.bundles] == [device_bundle.manifest.id, "other"]


async def test_of_two_bundles_with_one_contract_the_first_serves(
    bundle_path: Path, bundle_copy: Path, device_bundle: Bundle, latent: NDArray[np.float32]
) -> None:
    rewrite_manifest(bundle_copy, lambda values: values.update(id="twin"))
    for paths, expected in (
        ((bundle_path, bundle_copy), device_bundle.manifest.id),
        ((bundle_copy, bundle_path), "twin"),
    ):
        async with serving(bundles=paths) as client:
            response = await client.post("/infer", content=frame_of(device_bundle, [latent]))
        assert response.json()["bundle"] == expected


def test_two_contracts_with_one_fingerprint_stop_the_start(
    bundle_path: Path, other_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Manifest, "fingerprint", lambda self, quality: self.qualities[quality].id)
    bundles = [load_bundle(path, "cloud") for path in (bundle_path, other_path)]
    with pytest.raises(BundleInvalid, match="by chance"):
        Engine(bundles, "cpu")


async def test_a_device_can_fetch_the_manifest_and_its_own_files_as_listed(
    client: httpx.AsyncClient, device_bundle: Bundle
) -> None:
    listed = BundleList.model_validate_json((await client.get("/bundles")).content)
    (bundle,) = listed.bundles
    assert bundle.id == device_bundle.manifest.id
    device_files = device_bundle.manifest.needed("device")
    assert {file.path for file in bundle.files} == {"manifest.json", "evaluation.json", *device_files}
    for file in bundle.files:
        response = await client.get(f"/bundles/{bundle.id}/{file.path}")
        assert response.status_code == 200
        assert len(response.content) == file.bytes == int(response.headers["Content-Length"])
        assert hashlib.sha256(response.content).hexdigest() == file.sha256
        assert response.headers["ETag"] == f'"{file.sha256}"'


async def test_a_file_that_the_device_has_is_not_sent_again(client: httpx.AsyncClient) -> None:
    url = "/bundles/vgg16-cifar10/manifest.json"
    tag = (await client.get(url)).headers["ETag"]
    tags = (tag, f"W/{tag}", f'"other", {tag}', f'W/"other", W/{tag}', "*")
    for known, status in (*((each, 304) for each in tags), ('"other"', 200), ('W/"other"', 200)):
        response = await client.get(url, headers={"If-None-Match": known})
        assert response.status_code == status
        assert bool(response.content) == (status == 200)


async def test_a_fetch_that_broke_off_can_go_on(client: httpx.AsyncClient) -> None:
    url = "/bundles/vgg16-cifar10/codecs/int8.safetensors"
    whole = await client.get(url)
    rest = await client.get(url, headers={"Range": "bytes=100-", "If-Range": whole.headers["ETag"]})
    assert (rest.status_code, rest.content) == (206, whole.content[100:])


async def test_a_range_that_is_none_is_ignored_and_one_that_the_file_does_not_have_refused(
    client: httpx.AsyncClient,
) -> None:
    url = "/bundles/vgg16-cifar10/codecs/int8.safetensors"
    whole = (await client.get(url)).content
    size = len(whole)
    for ignored in (
        "bits=0-1",
        "bytes=",
        "bytes=-",
        "bytes=5-3",
        "bytes=a-b",
        "bytes 0-1",
        "bytes=1-2, 5-3",
        f"bytes=0-1,{size}-",
        "bytes=-0, 3-",
        "x",
    ):
        response = await client.get(url, headers={"Range": ignored})
        assert (response.status_code, response.content) == (200, whole), ignored
    for taken, part in (
        ("bytes=0-1", whole[:2]),
        ("BYTES=5-", whole[5:]),
        ("bytes=-7", whole[-7:]),
        (f"bytes=3-{size + 9}", whole[3:]),
    ):
        response = await client.get(url, headers={"Range": taken})
        assert (response.status_code, response.content) == (206, part), taken
    for absent in (f"bytes={size}-", f"bytes={size}-{size + 5}", "bytes=-0", f"bytes={size}-,-0"):
        response = await client.get(url, headers={"Range": absent})
        assert (response.status_code, error_of(response)) == (416, "RangeUnsatisfiable"), absent
        assert response.headers["Content-Range"] == f"bytes */{size}"
        changed = await client.get(url, headers={"Range": absent, "If-Range": '"other"'})
        assert (changed.status_code, changed.content) == (200, whole)


@pytest.mark.parametrize(
    "path",
    [
        "vgg16-cifar10/cloud/classifier.safetensors",
        "vgg16-cifar10/README.md",
        "vgg16-cifar10/device",
        "vgg16-cifar10/",
        "vgg16-cifar10/%2e%2e/vgg16-cifar10/manifest.json",
        "vgg16-cifar10/device/%2e%2e/manifest.json",
        "vgg16-cifar10/%2fetc%2fpasswd",
        "vgg16-cifar10//etc/passwd",
        "vgg16-cifar10/manifest.json%00",
        "%2e%2e/manifest.json",
        "nowhere/manifest.json",
    ],
)
async def test_404_whatever_is_not_listed(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"/bundles/{path}")
    assert (response.status_code, error_of(response)) == (404, "FileUnknown")


async def test_404_a_file_that_has_changed_or_gone_since_the_start(bundle_copy: Path) -> None:
    async with serving(bundles=(bundle_copy,)) as client:
        (bundle_copy / "manifest.json").write_text("{}")
        (bundle_copy / "device" / "vgg16.ncnn.param").unlink()
        for path in ("manifest.json", "device/vgg16.ncnn.param"):
            response = await client.get(f"/bundles/vgg16-cifar10/{path}")
            assert (response.status_code, error_of(response)) == (404, "FileUnknown")


async def test_a_cloud_without_device_files_serves_and_gives_out_none(
    bundle_copy: Path, frame: bytes
) -> None:
    shutil.rmtree(bundle_copy / "device")
    async with serving(bundles=(bundle_copy,)) as client:
        assert (await client.get("/bundles")).json() == {"bundles": []}
        assert (await client.get("/bundles/vgg16-cifar10/manifest.json")).status_code == 404
        assert (await client.post("/infer", content=frame)).status_code == 200


async def test_a_damaged_device_file_stops_the_start(bundle_copy: Path) -> None:
    file = bundle_copy / "device" / "vgg16.ncnn.bin"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleFileMismatch):
        async with serving(bundles=(bundle_copy,)):
            pass


async def test_everything_but_the_supervisors_routes_obeys_the_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    guarded = ("/model", "/metrics", "/bundles", "/bundles/vgg16-cifar10/manifest.json")
    async with serving(key_file=keys) as client:
        for path in guarded:
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers={"Authorization": "Bearer no"})).status_code == 403
            assert (await client.get(path, headers={"Authorization": "Bearer secret"})).status_code == 200
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path)).status_code == 200


async def test_a_key_that_was_added_while_serving_is_accepted(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("old\n")
    os.utime(keys, ns=(0, 0))
    now = 100.0
    async with serving(clock=lambda: now, key_file=keys) as client:
        keys.write_text("new\n")
        now += 1.1
        assert (await client.get("/model", headers={"Authorization": "Bearer new"})).status_code == 200
        assert (await client.get("/model", headers={"Authorization": "Bearer old"})).status_code == 403
