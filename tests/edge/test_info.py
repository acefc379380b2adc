"""``edge-client info`` says what there is, and why a cloud can't be used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from splitwire.edge.commands.info import BundleInfo
from splitwire.shared.bundle import load_manifest
from splitwire.shared.errors import BundleMissing
from tests.edge.command import edge_client
from tests.manifests import rewrite_manifest

if TYPE_CHECKING:
    from pathlib import Path


def info(*arguments: object) -> tuple[int, str]:
    result = edge_client("info", *arguments)
    return result.exit_code, result.stdout


def info_json(*arguments: object) -> tuple[int, dict[str, Any]]:
    code, output = info("--json", *arguments)
    return code, json.loads(output)


def test_every_quality_has_its_mean_bytes_and_its_accuracy(bundle_path: Path) -> None:
    code, output = info()
    assert code == 0
    for name in load_manifest(bundle_path).qualities:
        (line,) = [line for line in output.splitlines() if line.startswith(f"{name} ")]
        assert "bytes" in line
        assert "% to " in line
    assert "heads: ncnn 1." in output
    assert "int8, the default" in output


def test_as_json_it_is_all_there(bundle_path: Path) -> None:
    _, described = info_json()
    manifest = load_manifest(bundle_path)
    assert described["bundle"] == manifest.id
    assert (described["network"], described["cut"]) == ("vgg16", "features.30")
    assert {quality["name"] for quality in described["qualities"]} == manifest.qualities.keys()
    sizes = [quality["body_bytes"] for quality in described["qualities"]]
    assert sizes == sorted(sizes)
    assert set(described["backends"]) == {"ncnn", "torch"}
    assert described["cloud"] is None


def test_a_cloud_that_can_be_used_is_named_with_its_qualities(cloud_url: str, bundle_path: Path) -> None:
    code, described = info_json("--cloud", cloud_url)
    assert code == 0
    assert described["cloud"]["problem"] is None
    assert set(described["cloud"]["qualities"]) == load_manifest(bundle_path).qualities.keys()
    assert "ready on cpu" in info("--cloud", cloud_url)[1]


def test_a_cloud_that_can_not_be_used_is_said_why(cloud_url: str, bundle_copy: Path) -> None:
    code, described = info_json("--cloud", "http://127.0.0.1:9")
    assert code == 5
    assert "refused" in described["cloud"]["problem"] or "failed" in described["cloud"]["problem"]
    rewrite_manifest(bundle_copy, lambda values: values["classes"].reverse())
    code, described = info_json("--cloud", cloud_url, "--bundle", bundle_copy)
    assert code == 5
    assert "another bundle" in described["cloud"]["problem"]


def test_what_was_not_measured_is_said(bundle_copy: Path) -> None:
    (bundle_copy / "evaluation.json").unlink()
    code, output = info("--bundle", bundle_copy)
    assert code == 0
    assert "not measured" in output


def test_no_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing):
        info("--bundle", tmp_path)


def test_of_many_classes_some_are_named() -> None:
    classes = tuple(f"class {number}" for number in range(81))
    bundle = BundleInfo(
        bundle="b",
        network="n",
        cut="c",
        classes=classes,
        pictures_measured=None,
        base_accuracy=None,
        device_accuracy=None,
        qualities=(),
    )
    first, second, *_ = bundle.lines()
    assert first == "b: n, cut at c"
    assert second.startswith("81 classes: class 0, ")
    assert second.endswith("class 19 and 61 more")
