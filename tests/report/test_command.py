"""The command, end to end on a few pictures: real head, real servers, real sockets."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from cyclopts import CycloptsError
from PIL import Image
from safetensors.torch import save_file

from splitwire.edge.errors import CloudUnreachable
from splitwire.models.device import choose_compute
from splitwire.models.errors import TrainingError
from splitwire.models.networks import build
from splitwire.models.training.data.pictures import CLASS_ORDER
from splitwire.models.training.export import Origins, export_bundle
from splitwire.models.training.pipeline import Preset
from splitwire.models.training.run import RunSettings, begin_run, train_stage
from splitwire.models.training.stages.backbone import BackboneSettings
from splitwire.models.training.stages.features import AutoencoderSettings, FallbackSettings
from splitwire.models.training.stages.qualities import QualitySettings
from splitwire.models.training.stages.stage import DataSettings
from splitwire.report import cli
from splitwire.report.cli import app
from splitwire.report.measure import features, footprint
from splitwire.report.measure import run as measure
from splitwire.report.measure.footprint import BACK, DECODER, ENCODER, FALLBACK, FRONT
from splitwire.report.picture_codecs import settings as codec_settings
from splitwire.report.results import Cost, Report
from splitwire.report.testbed import environment
from splitwire.shared.bundle import NetworkSpec
from splitwire.shared.errors import BundleInvalid, QualityMissing, SettingsError
from splitwire.shared.pictures.loading import Preparation
from tests.models.conftest import TINY
from tests.report.drawn import comparison, paintings
from tests.report.threads import blas_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import NoReturn

    from pydantic import BaseModel

    from splitwire.report.picture_codecs import Setting
    from splitwire.shared.pictures.decoding import View


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small noisy pictures a class."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name in CLASS_ORDER:
        folder = root / "test" / name
        folder.mkdir(parents=True)
        for number in range(2):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return root


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer settings of codecs, no links, and parts measured in this process: seconds instead of minutes."""

    def few(view: View, pixels: int) -> tuple[Setting, ...]:
        return codec_settings(view, pixels, (90,), (None,), (1 / 2,))

    def measure_here(path: Path, parts: Sequence[str], advance: Callable[[int], None]) -> dict[str, Cost]:
        advance(len(parts))
        return {part: footprint.measure(part, path) for part in parts}

    monkeypatch.setattr(cli, "codec_settings", few)
    monkeypatch.setattr(footprint, "measure_all", measure_here)
    monkeypatch.setattr(measure, "obstacle", lambda: "left out by a test")


def invoke(*arguments: object) -> str:
    with redirect_stdout(io.StringIO()) as printed:
        app([str(each) for each in arguments])
    return printed.getvalue()


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_a_stopped_run_goes_on_and_writes_the_report(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    arguments = ("--data", data, "--out", out, "--limit", 5, "--qualities", "int8,paper")
    threads: set[int] = set()

    def power_cut(*_: object) -> NoReturn:
        threads.update(blas_threads())
        raise InterruptedError

    monkeypatch.setattr(environment, "commit", lambda: "c0ffee")
    with monkeypatch.context() as broken:
        broken.setattr(measure, "Clock", power_cut)
        with pytest.raises(InterruptedError):
            invoke(*arguments)
    assert threads == {1}, "numpy's would take the cores of what is timed"
    assert json.loads((out / "work" / "identity.json").read_text())["commit"] == "c0ffee"
    kept = {file.name for file in (out / "work").iterdir()}
    assert {
        "outputs.f32",
        "uncompressed.json",
        "split (int8).json",
        "split (paper).json",
        "WebP, quality 90, 16x16, 5 pictures.json",
    } <= kept
    assert not (out / "report.html").exists()

    for module, name in ((features, "open_head"), (measure, "base_answers")):
        monkeypatch.setattr(module, name, power_cut)  # what is kept is not computed again
    printed = invoke(*arguments)
    assert sorted(file.name for file in out.iterdir()) == ["plots", "report.html", "report.json"]
    report = Report.model_validate_json((out / "report.json").read_bytes())
    assert printed.count("\n") == 3
    assert report.conclusion[0].sentence in printed
    where = report.where
    assert where.commit == "c0ffee"
    assert (where.pictures, where.test_pictures, where.codec_pictures, where.timed_pictures) == (5, 20, 5, 5)
    assert len(report.by_class) == 5, "a class without pictures is left out"
    assert {name: each.body.mean for name, each in report.qualities.items()} == {"int8": 3206, "paper": 12806}
    assert {picture.codec for picture in report.pictures} - {"JXL"} == {"", "PNG", "JPEG", "WebP", "AVIF"}
    assert report.pictures[0].scored.change.value == 0, "the whole network there is the whole network here"
    assert report.obstacle == "left out by a test"
    if sys.platform == "linux":
        traffic = report.qualities["int8"].traffic
        assert traffic is not None
        assert 3206 + 100 < traffic.sent < 3206 + 300
    assert all(each.total.median > 0 for each in report.times.values())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEG files of all sizes and shapes, in folders with such names as people give."""
    root = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for name, colour in (
            ("blood orange", (200, 60, 30)),
            ("梨", (160, 200, 60)),
            ("Käse", (240, 220, 120)),
        ):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = rng.integers(70, 130, 2)
                pixels = rng.normal(colour, 30, (height, width, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.jpg")
    (root / "test" / "Käse" / "cut off.jpg").write_bytes(
        (root / "test" / "Käse" / "0.jpg").read_bytes()[:300]
    )
    return root


@pytest.fixture(scope="module")
def other_bundle(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of another network, cut early, with few of the usual qualities, hardly trained."""
    work = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    weights = work / "tiny.safetensors"
    save_file(build(NetworkSpec(name=TINY, cut="layer1"), 1000).state_dict(), weights)
    settings = RunSettings(
        preset=Preset(
            data=DataSettings(held_out=3),
            backbone=BackboneSettings(frozen="cut", epochs=1, batch=8),
            fallback=FallbackSettings(hidden=(), epochs=1, batch=8),
            cae=AutoencoderSettings(epochs=1, batch=8),
            qualities={"q2": QualitySettings(numbers=24, payload_bytes=12, epochs=1, batch=8)},
        ),
        network=TINY,
        cut="layer1",
        preparation=Preparation(size=64, crop=0.875),
        data=str(folders),
        initial_weights=str(weights),
    )
    run = begin_run(work / "run", choose_compute("cpu", "float32"), settings, resume=False)
    for stage in run.needed:
        train_stage(run, stage, resume=False)
    origins = Origins(weights="Made for a test.", data="Noise of three colours.")
    export_bundle(run, work / "other", run.pictures.test, origins)
    return work / "other"


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_any_bundle_has_a_report_of_what_holds_for_it(
    folders: Path, other_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places = ("--data", folders, "--bundle", other_bundle, "--out", tmp_path)
    invoke(*places, "--limit", 6, "--qualities", "int8,q2")
    assert "cut off.jpg" in capfd.readouterr().err
    report = Report.model_validate_json((tmp_path / "report.json").read_bytes())
    assert (report.where.network, report.where.cut, report.where.test_pictures) == (TINY, "layer1", 9)
    assert (report.paper, report.paper_average, report.published) == ({}, None, ())
    assert [each.name for each in report.by_class] == ["Käse", "blood orange", "梨"]
    assert list(report.qualities) == ["int8", "q2"]
    assert report.table_quality == report.chosen.quality
    assert list(report.costs) == [FRONT, ENCODER, FALLBACK, DECODER, BACK]
    assert report.pictures[0].scored.change.value == 0, "the whole network there is the whole network here"
    assert {each.setting for each in report.pictures if each.codec == "PNG"} == {
        "lossless",
        "lossless, 32x32",
    }
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search("VGG16|CIFAR|convolutions,|32 x 32|paper:", re.sub("<style>.*</style>", "", page))
    card = (other_bundle / "README.md").read_text()
    assert "`test_resnet`, cut at `layer1`" in card
    assert "the middle 87.5 % (of each side) of a picture's centre square" in card
    assert not re.search("VGG16|CIFAR|table 1|one object", card)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--qualities", "int9"], QualityMissing, "int9"),
        (["--limit", 0], CycloptsError, "Must be > 0"),
        (["--limit", 21], TrainingError, "use 1 to 20"),
        (["--data", "/nowhere"], TrainingError, "no data at /nowhere"),
        (["--limit", 10, "--cloud", "http://127.0.0.1:1"], CloudUnreachable, "is cloud-server running there"),
        (["--limit", 10, "--cloud", "127.0.0.1"], SettingsError, "not a cloud's URL"),
    ],
)
def test_what_can_not_be_measured_is_said_at_once(
    data: Path, tmp_path: Path, options: list[object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        invoke("--data", data, "--out", tmp_path / "out", *options)


def test_other_classes_than_the_bundles_are_refused(data: Path, tmp_path: Path) -> None:
    for name in CLASS_ORDER[:3]:
        shutil.copytree(data / "test" / name, tmp_path / "test" / name)
    with pytest.raises(TrainingError, match="classes are not those of"):
        invoke("--data", tmp_path, "--out", tmp_path / "out")


@pytest.mark.parametrize(("name", "whole"), [("sae.json", comparison()), ("paintings.json", paintings())])
def test_what_a_training_left_beside_the_bundle_is_refused_when_damaged(
    data: Path, tmp_path: Path, bundle_copy: Path, name: str, whole: BaseModel
) -> None:
    (bundle_copy / name).write_text("{}")
    with pytest.raises(BundleInvalid, match=f"{name} can't be read; copy the bundle again"):
        invoke("--data", data, "--out", tmp_path / "out", "--bundle", bundle_copy)
    (bundle_copy / name).write_text(whole.model_dump_json())
    assert cli.load_beside(bundle_copy, name, type(whole)) == whole


def test_an_error_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "splitwire.report", "--data", "/nowhere", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.count("\n") == 1
    assert "no data at /nowhere" in done.stderr
