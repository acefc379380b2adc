"""Every layout of the data gives the same pictures; what is wrong is said before hours are spent."""

from __future__ import annotations

import io
import pickle
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.pictures import CLASS_ORDER, Pictures, balanced_sample, load_pictures

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


def test_an_unreadable_picture_is_named_before_the_training(folder: Path) -> None:
    (folder / "train" / "bee" / "2.png").write_bytes(png(1)[:60])
    with pytest.raises(TrainingError, match=r"unreadable picture: .*bee/2\.png"):
        load_pictures(folder, "train").check_readable()


def test_a_balanced_sample_has_the_same_number_of_every_class_and_repeats() -> None:
    labels = np.repeat(np.arange(4), 50)
    chosen = balanced_sample(labels, 40, seed=3)
    assert np.bincount(labels[chosen]).tolist() == [10] * 4
    assert np.array_equal(chosen, balanced_sample(labels, 40, seed=3))
    assert not np.array_equal(chosen, balanced_sample(labels, 40, seed=4))


@pytest.mark.parametrize("count", [-4, 0, 7, 204])
def test_a_sample_that_can_not_be_balanced_is_refused(count: int) -> None:
    with pytest.raises(TrainingError, match="evenly"):
        balanced_sample(np.repeat(np.arange(4), 50), count, seed=0)
