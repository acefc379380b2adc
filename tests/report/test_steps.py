"""What a stopped run leaves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from splitwire.report.measure import features
from splitwire.report.measure.features import compute_outputs
from splitwire.report.steps import Steps
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.report.sample import Sample
    from splitwire.shared.bundle import Bundle


def fail(_: object = None) -> int:
    raise AssertionError("it was computed again")


def steps(folder: Path, seed: int = 0) -> Steps:
    return Steps(folder / "work", {"seed": seed, "counts": [1]}, {"one": (2, 0.5), "two": (1, 1.0)})


def test_a_result_is_computed_once_whatever_happens_between(tmp_path: Path) -> None:
    first = steps(tmp_path)
    assert first.run("one", int, lambda _: 1) == 1
    second = steps(tmp_path)
    assert second.run("one", int, fail) == 1
    assert second.seconds >= first.seconds - 0.1


def test_another_identity_starts_anew(tmp_path: Path) -> None:
    steps(tmp_path).run("one", int, lambda _: 1)
    assert steps(tmp_path, seed=1).run("one", int, lambda _: 2) == 2


@pytest.mark.parametrize("text", ["", "{", "{}", '"x"', "[1]"])
def test_a_damaged_result_is_computed_again(tmp_path: Path, text: str) -> None:
    work = steps(tmp_path)
    (work.folder / "one.json").write_text(text)
    assert work.run("one", int, lambda _: 3) == 3


def test_a_failure_leaves_what_was_done_and_counts_its_time(tmp_path: Path) -> None:
    work = steps(tmp_path)
    work.run("one", int, lambda _: 1)
    before = work.seconds
    with pytest.raises(AssertionError):
        work.run("two", int, fail)
    assert work.seconds > before
    kept = sorted(file.name for file in work.folder.iterdir())
    assert kept == ["identity.json", "one.json", "seconds.json"]


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="choose another --out"):
        steps(tmp_path / "file")


class Head:
    """Stands in for a graph: fails at a given picture."""

    def __init__(self, fails_at: int | None) -> None:
        self.fails_at = fails_at
        self.calls = 0

    def __call__(self, picture: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if self.calls == self.fails_at:
            raise RuntimeError("power cut")
        self.calls += 1
        shapes = {
            **dict.fromkeys(("q1", "q2", "q3"), ()),
            "feature": (512, 7, 7),
            "cae": (128, 5, 5),
            "classes": (),
        }
        return {name: np.full(shape, picture.mean(), dtype=np.float32) for name, shape in shapes.items()}


def test_features_go_on_after_the_last_that_were_kept(
    tmp_path: Path, device_bundle: Bundle, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: Pictures = sample.pictures.subset(np.arange(40))
    done: list[int] = []

    def run(head: Head) -> NDArray[np.void]:
        monkeypatch.setattr(features, "open_head", lambda *_: head)
        return compute_outputs(tmp_path, device_bundle, pictures, done.append)

    with pytest.raises(RuntimeError):
        run(Head(fails_at=20))
    done.clear()
    with (tmp_path / "outputs.f32").open("ab") as file:
        file.write(b"the beginning of the next")
    rest = Head(fails_at=None)
    values = run(rest)
    assert rest.calls == 40 - 20, "20 were kept"
    assert sum(done) == 40
    assert values["feature"].shape == (40, 512, 7, 7)
    assert np.ptp(values["feature"]) == 0, "all pictures are the same"
    again = Head(fails_at=0)
    assert np.array_equal(run(again), values)


def test_features_that_the_disk_has_no_room_for_are_refused(
    tmp_path: Path, device_bundle: Bundle, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "splitwire.report.measure.features.shutil.disk_usage", lambda _: SimpleNamespace(free=501_000_000)
    )
    with pytest.raises(SettingsError, match="choose another --out or a --limit"):
        compute_outputs(tmp_path, device_bundle, sample.pictures, lambda _: None)
    assert list(tmp_path.iterdir()) == []
