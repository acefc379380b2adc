"""A device fetches its part of a bundle: all of it, or nothing changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from splitwire.edge.commands import pull as module
from splitwire.edge.commands.pull import pull
from splitwire.edge.errors import CloudRefused, CloudUnreachable
from splitwire.edge.network.cloud_api import CloudApi
from splitwire.shared.bundle import load_bundle, load_manifest
from splitwire.shared.errors import BundleFileMismatch, SettingsError
from tests.edge.command import edge_client
from tests.manifests import rewrite_manifest
from tests.processes import running_cloud

if TYPE_CHECKING:
    from splitwire.shared.messages import BundleFile


def quietly(done: int, total: int) -> None:
    assert 0 <= done <= total


def test_a_pulled_bundle_is_the_devices_part_and_works(
    cloud_url: str, cat: Path, tmp_path: Path, bundle_path: Path
) -> None:
    place = tmp_path / "bundles" / "current"
    result = edge_client("pull", place, "--cloud", cloud_url)
    assert result.exit_code == 0
    assert load_manifest(place) == load_manifest(bundle_path)
    load_bundle(place, "device")
    assert not (place / "cloud").exists(), "the cloud's part is not the device's"
    result = edge_client("classify", cat, "--json", "--cloud", cloud_url, "--bundle", place)
    assert json.loads(result.stdout)["label"] == "cat"


def test_what_is_there_is_not_fetched_again(
    cloud_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = CloudApi.fetch

    async def counting(self: CloudApi, bundle: str, file: BundleFile, into: BinaryIO) -> None:
        fetched.append(file.path)
        await fetch(self, bundle, file, into)

    monkeypatch.setattr(CloudApi, "fetch", counting)
    place = tmp_path / "current"
    pull(cloud_url, None, None, place, quietly)
    assert len(fetched) > 3
    fetched.clear()
    pull(cloud_url, None, None, place, quietly)
    assert fetched == []
    load_bundle(place, "device")
    assert len(list(tmp_path.iterdir())) == 2, "the link, and one bundle"


@pytest.mark.parametrize("failing", [BundleFileMismatch(Path(), "f", "a", "b"), KeyboardInterrupt()])
def test_a_pull_that_ends_early_changes_nothing(
    cloud_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: BaseException
) -> None:
    place = tmp_path / "current"
    pull(cloud_url, None, None, place, quietly)
    before = (place.readlink(), sorted(tmp_path.iterdir()))

    def fail(*_: object) -> None:
        raise failing

    monkeypatch.setattr(module, "load_bundle", fail)
    with pytest.raises(type(failing)):
        pull(cloud_url, None, None, place, quietly)
    assert (place.readlink(), sorted(tmp_path.iterdir())) == before


@pytest.mark.parametrize("place", ["mine", "../mine"])
def test_a_link_that_pull_did_not_make_is_left_alone(cloud_url: str, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "devices"
    folder.mkdir()
    mine = folder / place
    mine.mkdir()
    (folder / "current").symlink_to(place)
    with pytest.raises(SettingsError, match="name another place"):
        pull(cloud_url, None, None, folder / "current", quietly)
    assert mine.is_dir()


@pytest.mark.parametrize("cloud", ["http://127.0.0.1:9", "http://192.0.2.1:9"])
def test_a_proxy_that_can_not_be_used_is_said_and_never_asked_on_this_machine(
    cloud: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://proxy:1")
    expected = CloudUnreachable if "127" in cloud else SettingsError
    with pytest.raises(expected):
        pull(cloud, None, None, tmp_path / "current", quietly)


def test_a_folder_that_pull_did_not_make_is_left_alone(cloud_url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name another place"):
        pull(cloud_url, None, None, tmp_path, quietly)


def test_of_several_bundles_one_has_to_be_named(bundle_copy: Path, bundle_path: Path, tmp_path: Path) -> None:
    rewrite_manifest(bundle_copy, lambda values: values.update(id="other", classes=values["classes"][::-1]))
    with running_cloud("--bundle", str(bundle_path), "--bundle", str(bundle_copy)) as url:
        with pytest.raises(SettingsError, match="vgg16-cifar10, other; name one with --id"):
            pull(url, None, None, tmp_path / "current", quietly)
        assert pull(url, None, "other", tmp_path / "current", quietly).id == "other"
    shutil.rmtree(bundle_copy)


def test_a_cloud_that_refuses_or_is_not_there_is_said(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    with running_cloud("--key-file", str(keys)) as url:
        with pytest.raises(CloudRefused, match="401"):
            pull(url, None, None, tmp_path / "current", quietly)
        pull(url, "secret", None, tmp_path / "current", quietly)
    with pytest.raises(CloudUnreachable):
        pull("http://127.0.0.1:9", None, None, tmp_path / "current", quietly)
