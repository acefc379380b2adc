"""What is wrong with a data set is said at the start, all at once, and the rest is used where that is sound."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from splitwire.models.errors import TrainingError
from splitwire.models.training.commands import app
from splitwire.models.training.data import decoding
from splitwire.models.training.data.batches import PictureBatches
from splitwire.models.training.data.check import DataSet, check, open_data
from splitwire.models.training.data.pictures import load_pictures, stratified_sample
from splitwire.models.training.stages.stage import DataSettings
from splitwire.shared.command import run
from splitwire.shared.errors import SettingsError
from splitwire.shared.pictures.loading import Preparation, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = {"Äpfel, grün": 30, "pear": 14, "чай": 21}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Noise of many sizes in uneven classes with spaces and several scripts."""
    rng = np.random.default_rng(0)
    for name, count in CLASSES.items():
        (tmp_path / "my set" / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(0, 256, (8 + number, 40 - number, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "my set" / name / f"{number:02}.png")
    return tmp_path / "my set"


def move(folder: Path) -> Path:
    """Divide the folder into train/ and test/: every third picture tests."""
    for name in CLASSES:
        for number, file in enumerate(sorted((folder / name).iterdir())):
            place = folder / ("train" if number % 3 else "test") / name
            place.mkdir(parents=True, exist_ok=True)
            file.rename(place / file.name)
        (folder / name).rmdir()
    return folder


def names(data: DataSet) -> list[tuple[str, ...]]:
    return [part.names for part in (data.training, data.held_out, data.test)]


def test_a_small_set_is_divided_by_shares_and_the_same_way_each_time(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = open_data(folder, DataSettings())
    assert [np.bincount(part.labels).tolist() for part in (data.test, data.held_out, data.training)] == [
        [3, 6, 4],
        [2, 5, 3],
        [9, 19, 14],
    ]
    assert names(data) == names(open_data(folder, DataSettings()))
    assert data.held_out.names != open_data(folder, DataSettings(seed=1)).held_out.names
    assert data.test.names == open_data(folder, DataSettings(seed=1)).test.names
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("no test folder: 13 of 65 pictures, 20% of each class")
    assert said[1].startswith("classes of fewer than 10 pictures to learn from (1); add some")
    assert said[2] == "  pear: 9"
    assert said[3] == "pictures of 3 classes: 42 to train on, 10 held out to measure progress, 13 to test"


def test_fewer_pictures_are_taken_by_count_or_share(folder: Path) -> None:
    data = open_data(folder, DataSettings(pictures=0.5, held_out=6))
    assert (len(data.training), len(data.held_out)) == (23, 6)
    assert len(open_data(folder, DataSettings(pictures=12_500)).training) == 42
    with pytest.raises(SettingsError, match=r"data\.held_out=2500"):
        open_data(folder, DataSettings(held_out=2500))


def test_all_that_can_not_be_used_is_said_at_once_and_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    move(folder)
    broken = folder / "train" / "pear" / "01.png"
    broken.write_bytes(broken.read_bytes()[:60])
    note = folder / "test" / "чай" / "[red]notes"
    note.write_text("no picture")
    copied = folder / "train" / "pear" / "copied.png"
    shutil.copy(folder / "test" / "pear" / "00.png", copied)
    rewritten = folder / "train" / "чай" / "rewritten.bmp"
    Image.open(folder / "test" / "чай" / "00.png").save(rewritten)
    elsewhere = folder / "train" / "чай" / "elsewhere.png"
    shutil.copy(folder / "train" / "pear" / "02.png", elsewhere)
    (folder / "test" / "pear" / "Thumbs.db").write_text("no picture")
    data = open_data(folder, DataSettings(held_out=3))
    said = capsys.readouterr().err
    used = {name for part in names(data) for name in part}
    assert used.isdisjoint(map(str, (broken, note, copied, rewritten)))
    assert len(used & {str(elsewhere), str(folder / "train" / "pear" / "02.png")}) == 1
    assert len(used) == sum(CLASSES.values()) - 1
    assert f"no picture has such a name: 1 files, as {folder / 'test' / 'pear' / 'Thumbs.db'}" in said
    assert "pictures that can't be read, left out (2); mend, replace or remove them:" in said
    assert f"  {broken}: damaged" in said
    assert f"  {note}: not a picture in a known format" in said
    assert "left out of the training (2); remove one of each two:" in said
    for copy in (copied, rewritten):
        assert f"  {copy} (" in said
    assert "in two classes, left out of the second (1)" in said


def empty(folder: Path) -> None:
    for file in (folder / "train" / "pear").iterdir():
        file.write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty, r"no picture is left of pear \(training\)"),
        (
            lambda folder: (folder / "test" / "pear").rename(folder / "test" / "fig"),
            "only train/ has pear; only test/ has fig",
        ),
        (lambda folder: shutil.rmtree(folder / "test" / "pear"), "only train/ has pear"),
        (lambda folder: shutil.rmtree(folder / "train"), "has no folder train/"),
        (lambda folder: (folder / "train" / "new\nline").mkdir(), "is empty"),
    ],
)
def test_a_wrong_data_set_is_refused_before_anything_is_trained(
    folder: Path,
    tmp_path: Path,
    initial_weights: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    message: str,
) -> None:
    spoil(move(folder))
    with pytest.raises(TrainingError, match=message):
        open_data(folder, DataSettings())
    places = ["--data", folder, "--run", tmp_path / "run", "--bundle", tmp_path / "b"]
    with pytest.raises(SystemExit) as exited:
        run(lambda: app(["release", *map(str, places), "--initial-weights", str(initial_weights)]))
    assert exited.value.code == 8
    assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["settings.json"]


def test_one_class_is_not_enough(folder: Path) -> None:
    for name in list(CLASSES)[1:]:
        shutil.rmtree(folder / name)
    with pytest.raises(TrainingError, match="one class"):
        open_data(folder, DataSettings())


def test_only_squares_of_one_size_have_a_side(folder: Path, colours: Path) -> None:
    assert open_data(folder, DataSettings()).training.side is None
    assert open_data(colours, DataSettings()).training.side == 32


def test_worker_processes_and_threads_decode_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, indices = load_pictures(folder, "train"), np.array([5, 0, 31])
    threads = PictureBatches(pictures, Preparation(size=64)).batch(indices)
    monkeypatch.setattr(decoding, "_MANY", 0)
    processes = PictureBatches(pictures, Preparation(size=64)).batch(indices)
    assert np.array_equal(threads, processes)
    assert np.array_equal(processes[1], prepare(pictures.image(0), Preparation(size=64)))


def test_groceries_are_found_and_divided(capsys: pytest.CaptureFixture[str]) -> None:
    """A real set, of which the tar file has several files of one name."""
    place = os.environ.get("SPLITWIRE_GROCERIES")
    if not place:
        pytest.skip("SPLITWIRE_GROCERIES does not name the data set")
    train, test = load_pictures(Path(place), "train"), load_pictures(Path(place), "test")
    assert train.classes == test.classes
    assert (len(train.classes), len(train), len(test)) == (81, 2936, 1265)
    some = test.subset(stratified_sample(test.labels, 81, 0, "count"))
    assert check({"test": some})["test"].names == some.names
    assert capsys.readouterr().err == ""
