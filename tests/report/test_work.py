"""What a stopped run leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import BaseModel

from splitwire.report.measure import features
from splitwire.report.measure.features import compute_features
from splitwire.report.work import Work
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.report.measure.run import Sample
    from splitwire.shared.bundle import Bundle


class Number(BaseModel):
    value: int


def fail() -> Number:
    raise AssertionError("it was computed again")


def test_a_result_is_computed_once_whatever_happens_between(tmp_path: Path) -> None:
    first = Work(tmp_path / "work", {"seed": 0})
    assert first.result("one", Number, lambda: Number(value=1)).value == 1
    second = Work(tmp_path / "work", {"seed": 0})
    assert second.result("one", Number, fail).value == 1
    assert second.seconds == pytest.approx(first.seconds)


def test_another_identity_starts_anew(tmp_path: Path) -> None:
    Work(tmp_path / "work", {"seed": 0}).result("one", Number, lambda: Number(value=1))
    assert Work(tmp_path / "work", {"seed": 1}).result("one", Number, lambda: Number(value=2)).value == 2


@pytest.mark.parametrize("text", ["", "{", "{}", '{"seconds": 1, "result": {"value": "x"}}', "[1]"])
def test_a_damaged_result_is_computed_again(tmp_path: Path, text: str) -> None:
    work = Work(tmp_path / "work", {})
    (work.folder / "one.json").write_text(text)
    assert work.result("one", Number, lambda: Number(value=3)).value == 3


def test_a_failure_leaves_what_was_done(tmp_path: Path) -> None:
    work = Work(tmp_path / "work", {})
    work.result("one", Number, lambda: Number(value=1))
    with pytest.raises(AssertionError):
        work.result("two", Number, fail)
    assert sorted(file.name for file in work.folder.iterdir()) == ["identity.json", "one.json"]
    work.remove()
    assert not work.folder.exists()


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="choose another --out"):
        Work(tmp_path / "file" / "work", {})


class Head:
    """Stands in for the convolutions: fails at a given picture."""

    def __init__(self, fails_at: int | None) -> None:
        self.fails_at = fails_at
        self.calls = 0

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.calls == self.fails_at:
            raise RuntimeError("power cut")
        self.calls += 1
        return np.full((512, 7, 7), picture.mean(), dtype=np.float32)


def test_features_go_on_after_the_last_that_were_kept(
    tmp_path: Path, device_bundle: Bundle, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: Pictures = sample.pictures.subset(np.arange(40))
    done: list[int] = []

    def run(head: Head) -> NDArray[np.float32]:
        monkeypatch.setattr(features, "open_head", lambda *_: head)
        return compute_features(tmp_path, device_bundle, pictures, done.append)[0]

    with pytest.raises(RuntimeError):
        run(Head(fails_at=20))
    done.clear()
    rest = Head(fails_at=None)
    values = run(rest)
    assert rest.calls == 40 - 16, "16 were kept"
    assert sum(done) == 40
    assert values.shape == (40, 512, 7, 7)
    assert np.ptp(values) == 0, "all pictures are the same"
    again = Head(fails_at=0)
    assert np.array_equal(run(again), values)


def test_features_that_the_disk_has_no_room_for_are_refused(
    tmp_path: Path, device_bundle: Bundle, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "splitwire.report.measure.features.shutil.disk_usage", lambda _: SimpleNamespace(free=501_000_000)
    )
    with pytest.raises(SettingsError, match="choose another --out or a --limit"):
        compute_features(tmp_path, device_bundle, sample.pictures, lambda _: None)
    assert list(tmp_path.iterdir()) == []
