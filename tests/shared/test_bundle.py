"""The bundle: what is loaded is what the manifest names, or there is a clear refusal."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from splitwire.models.loading import load_tails
from splitwire.shared.bundle import MANIFEST, Bundle, Manifest, Role, load_bundle, load_manifest
from splitwire.shared.errors import BundleFileMismatch, BundleInvalid, BundleMissing, QualityMissing
from splitwire.shared.evaluation import EVALUATION, load_evaluation
from tests.manifests import rewrite_file, rewrite_manifest

if TYPE_CHECKING:
    from collections.abc import Callable


def header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


ENTRY = {"size": 1, "sha256": "0" * 64}
HEAD = {
    "graph": "device/vgg16.ncnn.param",
    "weights": "device/vgg16.ncnn.bin",
    "parameters": 1,
    "multiplications": 1,
}
PREPARATION = {"size": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
ROLES: tuple[Role, ...] = ("device", "cloud")


@pytest.mark.parametrize("role", ROLES)
def test_the_shipped_bundle_has_the_files_its_manifest_names(bundle_path: Path, role: Role) -> None:
    bundle = load_bundle(bundle_path, role)
    assert {*bundle.tensors, *bundle.data} == set(bundle.manifest.needed(role))


def test_the_shipped_weights_keep_their_size_limits(bundle_path: Path) -> None:
    sizes = [entry.size for entry in load_manifest(bundle_path).files.values()]
    assert sizes == [(bundle_path / name).stat().st_size for name in load_manifest(bundle_path).files]
    assert sum(sizes) < 80e6
    assert max(sizes) < 60e6


def test_a_device_needs_no_classifier_and_a_cloud_no_convolutions(bundle_path: Path) -> None:
    manifest = load_manifest(bundle_path)
    assert not any("cloud/" in name for name in manifest.needed("device"))
    assert not any("device/" in name for name in manifest.needed("cloud"))


def test_a_device_loads_without_the_clouds_files(bundle_copy: Path) -> None:
    for file in (bundle_copy / "cloud").iterdir():
        file.unlink()
    load_bundle(bundle_copy, "device")
    with pytest.raises(BundleMissing, match="absent"):
        load_bundle(bundle_copy, "cloud")


@pytest.mark.parametrize("role", ROLES)
def test_one_changed_bit_is_refused(bundle_copy: Path, role: Role) -> None:
    file = bundle_copy / load_manifest(bundle_copy).needed(role)[0]
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleFileMismatch, match="copy the bundle again"):
        load_bundle(bundle_copy, role)


def test_a_file_cut_short_is_refused(bundle_copy: Path) -> None:
    file = bundle_copy / load_manifest(bundle_copy).needed("device")[0]
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BundleFileMismatch):
        load_bundle(bundle_copy, "device")


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="no manifest"):
        load_bundle(tmp_path, "device")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("feature_shape", [0, 7, 7]),
        ("feature_shape", [512, 8, 8]),
        ("network", {"name": "vgg16", "cut": "features.30", "hidden": [-5]}),
        ("network", {"name": "vgg16", "cut": "features.30", "hidden": [256, 256]}),
        ("network", {"name": "vgg16", "cut": "features.23", "hidden": [512, 512]}),
        ("network", {"name": "vgg16", "cut": "nowhere", "hidden": [512, 512]}),
        ("network", {"name": "another", "cut": "features.30", "hidden": [512, 512]}),
        ("classes", ["cat", "dog"]),
    ],
)
def test_a_manifest_that_does_not_fit_the_networks_is_refused(
    bundle_copy: Path, field: str, value: list[Any]
) -> None:
    rewrite_manifest(bundle_copy, lambda values: values.update({field: value}))
    with pytest.raises(BundleInvalid):
        load_tails(load_bundle(bundle_copy, "cloud"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 3}', "\x00"])
def test_a_manifest_of_another_format_is_refused(bundle_copy: Path, text: str) -> None:
    (bundle_copy / MANIFEST).write_text(text)
    with pytest.raises(BundleInvalid):
        load_manifest(bundle_copy)


@pytest.mark.parametrize(
    ("one", "other"),
    [("0.48235", "0.58235"), ('"cat"', '"cut"'), ('"default_quality": "int8"', '"default_quality": "half"')],
)
def test_a_manifest_in_which_anything_was_changed_is_refused(bundle_copy: Path, one: str, other: str) -> None:
    text = (bundle_copy / MANIFEST).read_text()
    assert one in text
    (bundle_copy / MANIFEST).write_text(text.replace(one, other))
    with pytest.raises(BundleInvalid, match="was changed after it was written"):
        load_manifest(bundle_copy)


@pytest.mark.parametrize(
    "name", ["/etc/x.safetensors", "../x.safetensors", "a/../../x.safetensors", "x.pickle"]
)
def test_files_outside_the_bundle_or_of_another_kind_are_refused(bundle_copy: Path, name: str) -> None:
    rewrite_manifest(bundle_copy, lambda values: values.update(tail=[name]))
    with pytest.raises(BundleInvalid):
        load_manifest(bundle_copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"preparation": {**PREPARATION, "size": 10**9}},
        {"preparation": {**PREPARATION, "mean": [float("nan"), 0.0, 0.0]}},
        {"preparation": {**PREPARATION, "std": [float("inf"), 1.0, 1.0]}},
        {"feature_shape": [10**30, 5, 5]},
        {"feature_shape": [1, 1, 1, 1]},
        {"task": "another"},
        {"network": {"name": "vgg16", "cut": "features.30", "hidden": [1 << 40]}},
        {"network": {"name": "vgg16", "cut": "features.30", "hidden": [1] * 1000}},
        {"network": {"name": "\x1b[2J", "cut": "features.30"}},
        {"heads": {}},
        {"default_head": "another"},
        {"heads": {"vgg16": {**HEAD, "graph": "device/vgg16.ncnn.bin"}}},
        {"heads": {"vgg16": {**HEAD, "weights": "device/../x.ncnn.bin"}}},
        {"classes": [str(number) for number in range((1 << 16) + 1)]},
        {"classes": ["cat", "\x1b[2J"]},
        {"classes": ["cat", "do\u202eg"]},
        {"classes": ["cat", ""]},
        {"classes": ["cat", "x" * 1000]},
        {
            "qualities": {
                "\x1b[2J": {"id": 0, "codec": "half", "latent_shape": [1], "output": "cae", "tail": []}
            }
        },
        {"files": {f"{number}.safetensors": ENTRY for number in range(5000)}},
        {"files": {"x.ncnn.bin": {**ENTRY, "size": 1 << 40}}},
        {"tail": ["manifest.json/x.safetensors/../y.safetensors"]},
        {"tail": ["con\n.safetensors"]},
        {"more": "x" * (1 << 20)},
        {"\x1b[2J" * 1000: 1},
    ],
    ids=range(25),
)
def test_a_manifest_with_names_and_numbers_that_no_bundle_has_is_one_line(
    bundle_copy: Path, changes: dict[str, Any]
) -> None:
    rewrite_manifest(bundle_copy, lambda values: values.update(changes))
    with pytest.raises(BundleInvalid) as caught:
        load_manifest(bundle_copy)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300 + len(str(bundle_copy)) + 50


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"classes": ' + "[" * 5000, '{"id": ' + "9" * 100_000 + "}"]
)
def test_a_manifest_that_is_deep_or_huge_is_one_line(bundle_copy: Path, text: str) -> None:
    (bundle_copy / MANIFEST).write_text(text)
    with pytest.raises(BundleInvalid):
        load_manifest(bundle_copy)


def endless_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def pipe_without_a_writer(file: Path) -> None:
    os.mkfifo(file)


def huge_and_empty(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(1 << 40)


@pytest.mark.parametrize("kind", [endless_device, pipe_without_a_writer, huge_and_empty, Path.mkdir])
@pytest.mark.parametrize("name", [MANIFEST, EVALUATION, "codecs/int8.safetensors"])
def test_what_is_no_regular_file_or_endless_is_not_read(
    bundle_copy: Path, name: str, kind: Callable[[Path], object]
) -> None:
    (bundle_copy / name).unlink()
    kind(bundle_copy / name)
    load = load_evaluation if name == EVALUATION else partial(load_bundle, role="device")
    with pytest.raises(BundleInvalid, match=name):
        load(bundle_copy)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        (1 << 62).to_bytes(8, "little"),
        (5 << 20).to_bytes(8, "little") + b" " * (5 << 20),
        header(b"{}" + b" " * 6),
        header(b"[" * 100_000),
        header(b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
        header(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}'),
        header(b'{"a":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]}}'),
        header(b'{"\\u001b[2J":{"dtype":"?\\u001b","shape":[0],"data_offsets":[0,0]}}'),
    ],
    ids=range(10),
)
def test_a_file_of_weights_that_is_none_is_one_line(bundle_copy: Path, data: bytes) -> None:
    name = "codecs/int8.safetensors"
    rewrite_file(bundle_copy, name, data)
    with pytest.raises(BundleInvalid) as caught:
        load_bundle(bundle_copy, "device").codec("int8")
    assert str(caught.value).isprintable()


def test_a_bundle_of_format_1_says_what_to_do(bundle_copy: Path) -> None:
    (bundle_copy / MANIFEST).write_text('{\n  "format": 1,\n  "id": "old"\n}\n')
    with pytest.raises(
        BundleInvalid, match=r"its format is 1, this release reads 2; pull it .*, or export it again"
    ):
        load_manifest(bundle_copy)


def test_a_file_of_another_size_than_the_manifest_says_is_refused(bundle_copy: Path) -> None:
    rewrite_manifest(bundle_copy, lambda values: values["files"]["codecs/q1.safetensors"].update(size=1))
    with pytest.raises(BundleInvalid, match=r"codecs/q1\.safetensors has .* bytes, not 1"):
        load_bundle(bundle_copy, "device")


@pytest.mark.parametrize(
    "file", ["device/vgg16.ncnn.param", "device/vgg16.low-memory.ncnn.param", "device/vgg16.ncnn.bin"]
)
def test_a_graph_that_can_not_be_used_is_one_line(bundle_copy: Path, file: str) -> None:
    content = (bundle_copy / file).read_bytes()
    rewrite_file(bundle_copy, file, content[: len(content) // 2])
    with pytest.raises(BundleInvalid, match=r"device/vgg16.*copy the bundle again") as caught:
        load_bundle(bundle_copy, "device")
    assert str(caught.value).isprintable()


def test_a_graph_without_what_the_manifest_says_is_refused(bundle_copy: Path) -> None:
    rewrite_manifest(bundle_copy, lambda values: values["qualities"]["q1"].update(output="q2"))
    with pytest.raises(BundleInvalid, match=r"has no q2 of shape \(16,\)"):
        load_bundle(bundle_copy, "device")


def test_a_quality_that_is_not_there_is_named_with_those_that_are(device_bundle: Bundle) -> None:
    with pytest.raises(QualityMissing, match="paper, int8"):
        device_bundle.codec("q9")


def test_fingerprints_change_with_the_decoding_contract_and_with_nothing_else(device_bundle: Bundle) -> None:
    manifest = device_bundle.manifest
    before = manifest.fingerprint("paper")

    def changed(**changes: Any) -> Manifest:  # noqa: ANN401 - JSON values
        return Manifest.model_validate({**manifest.model_dump(), **changes})

    qualities = manifest.model_dump()["qualities"]
    more = {**qualities, "another": {**qualities["paper"], "id": 9}}
    assert changed(id="renamed").fingerprint("paper") == before
    assert changed(qualities=more).fingerprint("paper") == before
    assert changed(classes=manifest.classes[::-1]).fingerprint("paper") != before
    assert changed(files={**manifest.files, manifest.tail[0]: ENTRY}).fingerprint("paper") != before
    network = {**manifest.network.model_dump(), "cut": "features.23"}
    assert changed(network=network).fingerprint("paper") != before
    assert changed(files={**manifest.files, "device/vgg16.ncnn.bin": ENTRY}).fingerprint("paper") == before


def test_every_quality_has_a_fingerprint_of_its_own(device_bundle: Bundle) -> None:
    manifest = device_bundle.manifest
    fingerprints = [manifest.fingerprint(name) for name in manifest.qualities]
    assert len(set(fingerprints)) == len(fingerprints)
