"""Every layout of the data gives the same pictures; what is wrong is said before hours are spent."""

from __future__ import annotations

import gc
import io
import pickle
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.pictures import (
    CLASS_ORDER,
    Pictures,
    is_cifar10,
    load_parts,
    load_pictures,
    stratified_sample,
)
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits of three classes with four pictures each."""
    root = tmp_path / "set"
    for split in ("train", "test"):
        for label, name in enumerate(("ant", "bee", "cow")):
            place = root / split / name
            place.mkdir(parents=True)
            for number in range(4):
                (place / f"{number}.png").write_bytes(png(10 * label + number))
    return root


def tar_of(folder: Path, name: str) -> Path:
    archive = folder.parent / name
    with tarfile.open(archive, "w:gz" if name.endswith("gz") else "w") as tar:
        tar.add(folder, arcname="set")
    return archive


def test_a_folder_and_a_tar_file_of_it_give_the_same_pictures(folder: Path) -> None:
    from_folder = load_pictures(folder, "train")
    from_tar = load_pictures(tar_of(folder, "set.tar.gz"), "train")
    assert from_folder.classes == ("ant", "bee", "cow")
    assert from_folder.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert from_folder.digest() == from_tar.digest()


def test_a_folder_that_holds_one_data_set_or_tar_file_stands_for_it(folder: Path) -> None:
    expected = load_pictures(folder, "test").digest()
    assert load_pictures(folder.parent, "test").digest() == expected
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    tar_of(folder, "set.tgz").rename(elsewhere / "set.tgz")
    assert load_pictures(elsewhere, "test").digest() == expected


def test_the_original_release_is_read_as_torchvision_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    pixels = np.arange(20 * 3072, dtype=np.uint32).astype(np.uint8).reshape(20, 3072)
    batch = {"data": pixels, "labels": [9, 0] * 10}
    for name in ("data_batch_1", "test_batch"):
        (base / name).write_bytes(pickle.dumps(batch))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CLASS_ORDER)}))
    from torchvision.datasets import CIFAR10  # noqa: PLC0415

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", ""]])
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    pictures = load_pictures(tmp_path, "train")
    assert pictures.classes == CLASS_ORDER
    assert pictures.labels.tolist() == [9, 0] * 10
    expected = pixels[3].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(np.asarray(pictures.image(3)), expected)


def test_an_incomplete_original_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(TrainingError, match="incomplete or changed"):
        load_pictures(tmp_path, "train")


def test_the_shared_data_have_the_original_classes_in_their_order(test_pictures: Pictures) -> None:
    assert test_pictures.classes == CLASS_ORDER
    assert np.bincount(test_pictures.labels).tolist() == [500] * 10


def test_wrong_paths_are_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no data")
    with pytest.raises(TrainingError, match="no data at"):
        load_pictures(tmp_path / "absent", "train")
    with pytest.raises(TrainingError, match="neither a folder nor"):
        load_pictures(text, "train")
    with pytest.raises(TrainingError, match="holds no data set"):
        load_pictures(tmp_path, "train")


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_tar_file_cut_short_is_named(folder: Path, name: str, share: float) -> None:
    archive = tar_of(folder, name)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole)) // 512 * 512])
    with pytest.raises(TrainingError, match="can't be read"):
        load_pictures(archive, "train")


def test_a_tar_file_with_a_damaged_header_is_named(folder: Path) -> None:
    archive = tar_of(folder, "set.tar")
    with tarfile.open(archive) as tar:
        member = tar.getmember("set/train/bee/2.png")
    data = bytearray(archive.read_bytes())
    data[member.offset : member.offset + 512] = b"x" * 512
    archive.write_bytes(data)
    with pytest.raises(TrainingError, match="damaged header"):
        load_pictures(archive, "train")


def test_an_empty_class_is_named(folder: Path) -> None:
    (folder / "train" / "dog").mkdir()
    (folder / "train" / "dog" / ".hidden").write_text("no picture")
    for place in (folder, tar_of(folder, "set.tar")):
        with pytest.raises(TrainingError, match="class dog is empty"):
            load_pictures(place, "train")


def test_a_folder_a_class_is_enough_and_the_test_part_is_the_same_each_time(folder: Path) -> None:
    rng, plain = np.random.default_rng(0), folder.parent / "plain"
    for name, count in (("Äpfel, rot", 10), ("リンゴ", 7), ("train", 23)):
        (plain / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(
                plain / name / f"{number}.png"
            )
    parts, said = load_parts(plain)
    train, test = parts["train"], parts["test"]
    assert train.classes == test.classes == ("train", "Äpfel, rot", "リンゴ")
    assert np.bincount(test.labels).tolist() == [5, 2, 1]
    assert sorted(train.names + test.names) == sorted(map(str, plain.glob("*/*.png")))
    assert load_pictures(plain, "test").names == test.names
    assert len(said) == 1
    assert "8 of 40 pictures, 20% of each class, are kept for testing, chosen by seed 0" in said[0]
    from_tar, _ = load_parts(tar_of(plain, "plain.tgz"))
    assert [from_tar[part].digest() for part in parts] == [parts[part].digest() for part in parts]


def test_a_validation_folder_tests_where_there_is_no_other_and_what_is_not_used_is_said(folder: Path) -> None:
    expected = load_pictures(folder, "test").digest()
    (folder / "test").rename(folder / "Val")
    assert load_pictures(folder, "test").digest() == expected
    (folder / "test").mkdir()
    (folder / "Val").rename(folder / "val")
    (folder / "test").rename(folder / "other")
    parts, said = load_parts(folder)
    assert parts["test"].digest() == expected
    assert said == ["not used, since they are neither train/ nor test/: other"]


def test_names_of_classes_are_the_same_in_both_forms_of_unicode(folder: Path) -> None:
    (folder / "train" / "bee").rename(folder / "train" / "bl\u00e9")
    (folder / "test" / "bee").rename(folder / "test" / "ble\u0301")
    parts, _ = load_parts(folder)
    assert parts["train"].classes == parts["test"].classes == ("ant", "bl\u00e9", "cow")


def test_files_of_one_name_in_a_tar_file_are_all_there(folder: Path) -> None:
    archive = tar_of(folder, "set.tar")
    with tarfile.open(archive, "a") as tar:
        tar.add(folder / "train" / "bee" / "1.png", arcname="set/train/bee/2.png")
    assert len(load_pictures(archive, "train")) == 13


def test_what_was_unpacked_is_deleted_with_the_last_picture(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    pictures = load_pictures(tar_of(folder, "set.tgz"), "train")
    some = pictures.subset(np.array([1]))
    del pictures
    assert len(list(room.iterdir())) == 1
    assert some.image(0).size == (32, 32)
    del some
    gc.collect()
    assert list(room.iterdir()) == []


def test_classes_with_too_few_files_to_divide_are_named_all_at_once(tmp_path: Path) -> None:
    for name, count in (("a", 5), ("b", 2), ("c", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.png").write_bytes(png(number))
    with pytest.raises(TrainingError, match=r"at least 3 pictures.*: b \(2\), c \(1\)"):
        load_parts(tmp_path)


def test_only_cifar10_is_taken_for_cifar10(folder: Path) -> None:
    assert not is_cifar10(folder, CLASS_ORDER)
    archive = tar_of(folder, "cifar10.tar.gz")
    assert is_cifar10(archive, CLASS_ORDER)
    assert not is_cifar10(archive, ("ant", "bee", "cow"))
    assert not is_cifar10(tar_of(folder, "set.tar.gz"), CLASS_ORDER)


def test_a_sample_has_the_same_share_of_every_class_and_repeats() -> None:
    labels = np.repeat(np.arange(4), 50)
    chosen = stratified_sample(labels, 40, 3, "--limit")
    assert np.bincount(labels[chosen]).tolist() == [10] * 4
    assert np.array_equal(chosen, stratified_sample(labels, 40, 3, "--limit"))
    assert np.array_equal(chosen, stratified_sample(labels, 0.2, 3, "--limit"))
    assert not np.array_equal(chosen, stratified_sample(labels, 40, 4, "--limit"))


def test_the_choice_from_even_classes_is_the_one_that_the_shipped_bundle_was_trained_with() -> None:
    labels, rng = np.tile(np.arange(3), 20), np.random.default_rng(5)
    expected = [rng.choice(np.flatnonzero(labels == label), 7, replace=False) for label in range(3)]
    assert stratified_sample(labels, 21, 5, "--limit").tolist() == sorted(np.concatenate(expected))


@pytest.mark.parametrize(
    ("amount", "counts"),
    [
        (3, [1, 1, 1]),
        (10, [1, 1, 8]),
        (0.2, [1, 2, 199]),
        (0.0001, [1, 1, 1]),
        (1012, [2, 10, 1000]),
        (9999, [2, 10, 1000]),
    ],
)
def test_a_sample_of_uneven_classes_has_at_least_one_of_each(amount: float, counts: list[int]) -> None:
    labels = np.repeat(np.arange(3), [2, 10, 1000])
    assert np.bincount(labels[stratified_sample(labels, amount, 0, "--limit")]).tolist() == counts


def test_an_amount_that_does_not_suit_the_classes_is_refused_by_the_setting_s_name() -> None:
    labels = np.repeat(np.arange(4), 5)
    with pytest.raises(SettingsError, match="--limit=3: 3 is fewer than the 4 classes"):
        stratified_sample(labels, 3, 0, "--limit")
    with pytest.raises(SettingsError, match=r"data.held_out=20: .* give fewer"):
        stratified_sample(labels, 20, 0, "data.held_out", leave=1)
