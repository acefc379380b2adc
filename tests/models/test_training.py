"""Training on a tiny set: it learns, repeats, survives being stopped, and ends in a bundle."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from splitwire.models.device import choose_compute
from splitwire.models.errors import TrainingError
from splitwire.models.graph import read_weights
from splitwire.models.loading import load_head, load_tails
from splitwire.models.training.data.batches import PictureBatches
from splitwire.models.training.data.cache import cache_features
from splitwire.models.training.data.pictures import load_pictures
from splitwire.models.training.evaluate import evaluate_bundle
from splitwire.models.training.export import Origins, check_payloads, export_bundle
from splitwire.models.training.forecast import forecast
from splitwire.models.training.pipeline import PRESETS, Preset, pipeline
from splitwire.models.training.provenance import PROVENANCE, Provenance, run_of_bundle
from splitwire.models.training.run import Run, RunSettings, begin_run, open_run, train_stage
from splitwire.models.training.stages.backbone import (
    Architecture,
    BackboneSettings,
    BackboneStage,
    plain_features,
)
from splitwire.models.training.stages.features import AutoencoderSettings
from splitwire.models.training.stages.stage import CrossEntropy, DataSettings, StageResult
from splitwire.shared.bundle import NetworkSpec, Quality, default_bundle_path, load_bundle
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import share
from splitwire.shared.pictures.loading import Preparation
from tests.models.conftest import TINY, TINY_CUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.models.training.stages.stage import Earlier

COMPUTE = choose_compute("cpu", "float32")
ARCHITECTURE = Architecture(spec=NetworkSpec(name="vgg16", cut="features.30"), size=224)
ORIGINS = Origins(weights="Made for a test.", data="Noise of three colours.")


PRESET = Preset(
    data=DataSettings(held_out=12),
    backbone=BackboneSettings(
        frozen="cut", hidden=(16, 16), dropout=0.1, epochs=4, batch=4, classifier_rate=2e-3
    ),
    cae=AutoencoderSettings(epochs=3, batch=8),
)


@pytest.fixture
def settings(colours: Path, tiny_weights: Path) -> RunSettings:
    return RunSettings(
        preset=PRESET,
        network=TINY,
        cut=TINY_CUT,
        preparation=Preparation(size=64),
        data=str(colours),
        initial_weights=str(tiny_weights),
    )


@pytest.fixture
def vgg16_run(colours: Path, initial_weights: Path, tmp_path: Path, shared_cache: Path) -> Run:
    """Begin a run of the paper's network."""
    settings = RunSettings(preset=PRESET, data=str(colours), initial_weights=str(initial_weights))
    run = begin_run(tmp_path / "run", COMPUTE, settings, resume=False)
    (run.folder / "cache").symlink_to(shared_cache)
    return run


@pytest.fixture
def run(settings: RunSettings, tmp_path: Path, shared_cache: Path) -> Run:
    run = begin_run(tmp_path / "run", COMPUTE, settings, resume=False)
    (run.folder / "cache").symlink_to(shared_cache)
    return run


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all runs here, since their frozen blocks are the same."""
    return tmp_path_factory.mktemp("cache")


class StoppedLoss(CrossEntropy):
    """Is stopped in its sixth step."""

    steps = 0

    def forward(self, network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        if self.steps == 6:
            raise KeyboardInterrupt
        return super().forward(network, inputs, labels)


class StoppedBackbone(BackboneStage):
    def loss(self, earlier: Earlier) -> nn.Module:  # noqa: ARG002 - as in other stages
        return StoppedLoss(label_smoothing=self.settings.label_smoothing)


def train(run: Run, stage: str, *, resume: bool = False) -> StageResult:
    return train_stage(run, run.stage(stage), resume=resume)


def log_of(run: Run, stage: str) -> list[dict[str, str]]:
    with (run.folder / stage / "log.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def weights_of(run: Run, stage: str) -> dict[str, torch.Tensor]:
    return load_file(run.folder / stage / "networks.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def both_stages(run: Run) -> tuple[StageResult, StageResult]:
    return train(run, "backbone"), train(run, "cae")


def all_changed(settings: RunSettings, run: Run) -> bool:
    """Tell whether training changed every weight but those of the classifier, which were others."""
    before, after = load_file(settings.initial_weights), weights_of(run, "backbone")
    names = [name for name in before if not name.startswith("fc.")]
    return all(not torch.equal(before[name], after[f"network.{name}"]) for name in names)


def begun_anew(run: Run, *changes: str) -> Run:
    settings = run.settings.model_copy(update={"preset": run.settings.preset.changed(changes)})
    return begin_run(run.folder, COMPUTE, settings, resume=False)


def test_both_stages_learn_and_leave_log_curves_and_result(run: Run) -> None:
    backbone, _ = both_stages(run)
    assert backbone.held_out_accuracy > 0.6, "three colours are easily told apart"
    assert backbone.classes == ("blue", "green", "red")
    assert (backbone.training_pictures, backbone.held_out_pictures) == (36, 12)
    for stage in ("backbone", "cae"):
        losses = [float(row["validation_loss"]) for row in log_of(run, stage)]
        assert losses[-1] < losses[0]
        with Image.open(run.folder / stage / "loss.png") as curves:
            assert curves.width > 500


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(run: Run, tmp_path: Path) -> None:
    train(run, "backbone")
    first = weights_of(run, "backbone")
    train(run, "backbone")
    assert same(first, weights_of(run, "backbone"))
    preset = run.settings.preset.changed(["data.seed=1"])
    other = begin_run(
        tmp_path / "other", COMPUTE, run.settings.model_copy(update={"preset": preset}), resume=False
    )
    train(other, "backbone")
    assert not same(first, weights_of(other, "backbone"))


def test_a_stopped_training_ends_as_if_it_had_never_stopped(run: Run) -> None:
    stopped = StoppedBackbone(**vars(run.pipeline.backbone))
    with pytest.raises(KeyboardInterrupt):
        train_stage(run, stopped, resume=False, checkpoint_seconds=0)
    assert not (run.folder / "backbone" / "networks.safetensors").exists()
    train(run, "backbone", resume=True)
    resumed, log = weights_of(run, "backbone"), log_of(run, "backbone")
    train(run, "backbone")
    assert same(resumed, weights_of(run, "backbone"))
    assert [row["step"] for row in log] == [row["step"] for row in log_of(run, "backbone")]


def test_resuming_a_finished_stage_changes_nothing(run: Run) -> None:
    result = train(run, "backbone")
    weights, log = weights_of(run, "backbone"), log_of(run, "backbone")
    again = train(run, "backbone", resume=True)
    assert same(weights, weights_of(run, "backbone"))
    assert log == log_of(run, "backbone")
    assert again.held_out_accuracy == result.held_out_accuracy


@pytest.mark.parametrize(
    "change", ["backbone.classifier_rate=1", "backbone.batch=8", "data.seed=1", "finetune.epochs=1"]
)
def test_a_run_is_not_resumed_with_other_settings(run: Run, change: str) -> None:
    other = run.settings.model_copy(update={"preset": run.settings.preset.changed([change])})
    with pytest.raises(TrainingError, match="other settings"):
        begin_run(run.folder, COMPUTE, other, resume=True)
    assert open_run(run.folder, COMPUTE).settings == run.settings


def test_an_autoencoder_is_not_resumed_on_another_backbone_or_with_other_settings(run: Run) -> None:
    both_stages(run)
    faster = begun_anew(run, "cae.rate=1")
    with pytest.raises(TrainingError, match="another settings"):
        train(faster, "cae", resume=True)
    again = begun_anew(run, "backbone.frozen=layer2.0", "backbone.epochs=1")
    train(again, "backbone")
    with pytest.raises(TrainingError, match="stage cae has not ended"):
        again.result(again.pipeline.cae)
    with pytest.raises(TrainingError, match="another source"):
        train(again, "cae", resume=True)


@pytest.mark.parametrize("damage", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint_is_refused(run: Run, damage: bytes) -> None:
    train(run, "backbone")
    (run.folder / "backbone" / "checkpoint.pt").write_bytes(damage)
    with pytest.raises(TrainingError, match="does not fit"):
        train(run, "backbone", resume=True)


def test_stages_in_the_wrong_order_are_refused(run: Run, colours: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="stage backbone has not ended"):
        train(run, "cae")
    with pytest.raises(SettingsError, match="there is no stage finetune"):
        train(run, "finetune")
    with pytest.raises(TrainingError, match="has not ended"):
        export_bundle(run, tmp_path / "bundle", load_pictures(colours, "test"), ORIGINS)
    with pytest.raises(TrainingError, match="holds no run"):
        open_run(tmp_path / "nowhere", COMPUTE)


def test_a_run_ends_in_a_bundle_that_both_sides_load(run: Run, colours: Path, tmp_path: Path) -> None:
    both_stages(run)
    folder = tmp_path / "colours-1"
    evaluation = export_bundle(run, folder, load_pictures(colours, "test"), ORIGINS)
    for role in ("device", "cloud"):
        bundle = load_bundle(folder, role)
        assert bundle.manifest.id == "colours-1"
        assert bundle.manifest.classes == ("blue", "green", "red")
    assert evaluation.pictures == 12
    assert evaluation.scores["base"].accuracy.value > 0.6
    bodies = {name: score.body_bytes for name, score in evaluation.scores.items()}
    assert bodies == {"base": None, "paper": 3_078, "int8": 774, "half": 1_542}
    assert json.loads((folder / "evaluation.json").read_text()) == evaluation.model_dump(mode="json")
    card = (folder / "README.md").read_text()
    assert "Made for a test." in card
    assert "Noise of three colours." in card
    assert str(tmp_path) not in card
    assert str(colours) not in card


def test_weights_are_exported_in_float16_and_tables_in_float32(
    run: Run, colours: Path, tmp_path: Path
) -> None:
    both_stages(run)
    export_bundle(run, tmp_path / "bundle", load_pictures(colours, "test"), ORIGINS)
    cloud = load_file(tmp_path / "bundle" / "cloud" / "tail.safetensors")
    measured = {name for name, values in cloud.items() if values.dtype != torch.float16}
    assert measured == {name for name in cloud if "running_" in name}
    tables = load_file(tmp_path / "bundle" / "codecs" / "int8.safetensors")
    assert all(values.dtype == torch.float32 for values in tables.values())


def test_the_paper_preset_trains_every_layer_on_pictures_without_a_cache(
    settings: RunSettings, tmp_path: Path
) -> None:
    preset = PRESETS["paper"].changed(
        ["data.pictures=6", "data.held_out=3", "backbone.epochs=1", "backbone.hidden=8,8"]
    )
    changed = settings.model_copy(update={"preset": preset})
    run = begin_run(tmp_path / "run", COMPUTE, changed, resume=False)
    train(run, "backbone")
    assert not (run.folder / "cache").exists()
    assert all_changed(settings, run)


def test_the_full_preset_trains_every_layer_on_changed_pictures_with_a_teacher(
    settings: RunSettings, tmp_path: Path
) -> None:
    preset = PRESETS["full"].changed(
        [
            "data.held_out=3",
            "data.pictures=9",
            "teacher.epochs=1",
            "teacher.widths=8,8,8",
            "backbone.epochs=1",
            "backbone.batch=3",
            "backbone.hidden=8,8",
        ]
    )
    run = begin_run(tmp_path / "run", COMPUTE, settings.model_copy(update={"preset": preset}), resume=False)
    assert [stage.name for stage in run.needed[:2]] == ["teacher", "backbone"]
    with pytest.raises(TrainingError, match="stage teacher has not ended"):
        train(run, "backbone")
    train(run, "teacher")
    train(run, "backbone")
    assert all_changed(settings, run)
    assert not (run.folder / "cache").exists()


def test_finetuning_goes_on_from_the_backbone_and_leaves_frozen_blocks_alone(run: Run) -> None:
    run = begun_anew(run, "finetune.frozen=layer2.0", "finetune.epochs=4", "finetune.soft_labels=0")
    with pytest.raises(TrainingError, match="stage backbone has not ended"):
        train(run, "finetune")
    train(run, "backbone")
    train(run, "finetune")
    before, after = weights_of(run, "backbone"), weights_of(run, "finetune")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trained = tuple(f"network.{part}." for part in ("layer3", "layer4", "fc"))
    assert changed == {name for name in before if name.startswith(trained)}
    used = run.trained(run.pipeline.backbone).state_dict()
    assert torch.equal(used["network.fc.weight"], after["network.fc.weight"])


def test_a_forecast_tells_steps_disk_and_memory(settings: RunSettings, tmp_path: Path) -> None:
    preset = settings.preset.changed(["backbone.frozen=layer2.0", "finetune.frozen=layer2.0"])
    run = begin_run(tmp_path / "run", COMPUTE, settings.model_copy(update={"preset": preset}), resume=False)
    stages = [run.stage(name) for name in ("backbone", "finetune", "cae")]
    backbone, finetune, cae = forecast(run, stages)
    assert (backbone.steps, finetune.steps, cae.steps) == (4 * 9, 2, 3 * 5)
    assert backbone.disk == 2 * 48 * 48 * 8 * 8, "float16, training and held-out pictures"
    assert finetune.disk == 2 * 12 * 48 * 8 * 8, "only the held-out ones: the others change"
    assert cae.disk == 2 * 48 * 192 * 4 * 4
    assert all(expected.seconds > 0 for expected in (backbone, finetune, cae))
    assert 100e6 < backbone.memory <= cae.memory < 16e9
    assert not (run.folder / "cache").exists()


def test_features_are_computed_once_for_all_stages_that_see_them(run: Run) -> None:
    backbone, cae, quality = forecast(run, [run.stage(name) for name in ("backbone", "cae", "q1")])
    assert run.settings.preset.backbone.frozen == "cut", "it sees features, too"
    assert backbone.disk == 2 * 48 * 192 * 4 * 4
    assert cae.disk == quality.disk == 0


def test_a_learned_quality_answers_in_a_few_bytes_as_its_network_did(
    run: Run, colours: Path, tmp_path: Path
) -> None:
    run = begun_anew(run, "q1.numbers=4", "q1.hidden=8", "q1.epochs=2", "q1.batch=4", "q1.rate=0.00005")
    both_stages(run)
    train(run, "q1")
    test = load_pictures(colours, "test")
    evaluation = export_bundle(run, tmp_path / "bundle", test, ORIGINS)
    body = evaluation.scores["q1"].body_bytes
    assert body is not None
    assert 7 <= body <= 6 + 2 * 4

    device, cloud = load_bundle(tmp_path / "bundle", "device"), load_bundle(tmp_path / "bundle", "cloud")
    backbone, quality = run.trained(run.pipeline.backbone), run.trained(run.stage("q1")).eval()
    tested = plain_features(run, test, backbone, "test").batch(np.arange(12)).float()
    encoder, tail = load_head(device).outputs["q1"], load_tails(cloud)["q1"]
    with torch.inference_mode():
        integers = quality.integers(tested).numpy()
        latents = encoder(tested).numpy()
        expected = backbone.after().eval()(quality(tested)[0]).argmax(1)
        encoding, decoding = device.codec("q1"), cloud.codec("q1")
        payloads = [encoding.encode(encoding.quantise(latent)) for latent in latents]
        symbols = np.stack([decoding.decode(payload) for payload in payloads])
        answers = tail(torch.from_numpy(decoding.dequantise(symbols))).argmax(1)
    assert (symbols == integers).mean() > 0.9, "but for a rounding of float16 weights, or a clamp"
    assert (answers == expected).float().mean() > 0.9


@pytest.mark.slow
def test_a_run_that_began_from_a_bundle_gives_the_same_bundle_and_trains_on(
    vgg16_run: Run, colours: Path, tmp_path: Path
) -> None:
    run = begun_anew(vgg16_run, "q1.numbers=4", "q1.hidden=8", "q1.epochs=2", "q1.batch=4", "q1.rate=0.00005")
    for stage in ("backbone", "fallback", "cae", "q1"):
        train(run, stage)
    test = load_pictures(colours, "test")
    export_bundle(run, tmp_path / "one" / "bundle", test, ORIGINS)
    weights = "/nowhere, since nothing is trained from them"
    more = ["q2.numbers=4", "q2.hidden=8", "q2.epochs=1"]
    from_bundle = run_of_bundle(
        tmp_path / "run2", tmp_path / "one" / "bundle", colours, weights, COMPUTE, more
    )
    train(from_bundle, "q2")
    export_bundle(from_bundle, tmp_path / "two" / "bundle", test, ORIGINS)
    one, two = (load_bundle(tmp_path / name / "bundle", "device").manifest for name in ("one", "two"))
    assert set(two.qualities) - set(one.qualities) == {"q2"}
    of_tails = [name for name in one.files if name.startswith("cloud/")]
    assert {name: two.files[name] for name in of_tails} == {name: one.files[name] for name in of_tails}
    first, then = (
        read_weights(load_bundle(tmp_path / name / "bundle", "device").graph()) for name in ("one", "two")
    )
    assert all(torch.equal(values, then[name]) for name, values in first.items())
    records = [
        json.loads((tmp_path / name / "bundle" / PROVENANCE).read_text())["results"]
        for name in ("one", "two")
    ]
    assert records[0]["cae"]["hours"] == records[1]["cae"]["hours"]
    with pytest.raises(TrainingError, match="initial weights"):
        train(from_bundle, "backbone")
    (tmp_path / "one" / "bundle" / PROVENANCE).unlink()
    with pytest.raises(TrainingError, match="begin a run from a preset"):
        run_of_bundle(tmp_path / "run3", tmp_path / "one" / "bundle", colours, weights, COMPUTE, [])


def test_what_the_shipped_bundle_says_of_its_training_is_still_read() -> None:
    provenance = Provenance.model_validate_json((default_bundle_path() / PROVENANCE).read_bytes())
    stages = {stage.name: stage for stage in pipeline(provenance.preset, ARCHITECTURE).stages}
    assert stages.keys() == provenance.results.keys()
    for name, result in provenance.results.items():
        assert result.stands_on.keys() <= {needed.name for needed in stages[name].needs}


def test_the_paper_preset_has_the_papers_figures() -> None:
    paper = PRESETS["paper"]
    assert paper.data.pictures == 12_500
    assert (paper.backbone.epochs, paper.backbone.batch, paper.backbone.rate) == (100, 4, 1e-5)
    for autoencoder in (paper.cae, paper.sae):
        assert (autoencoder.epochs, autoencoder.batch, autoencoder.rate) == (10, 4, 1e-4)
    assert paper.backbone.hidden == (4096, 4096)


def test_a_cache_goes_on_where_it_was_stopped_and_is_made_anew_for_other_inputs(
    colours: Path, tmp_path: Path
) -> None:
    def cached(size: int) -> NDArray[np.float16]:
        preparation = Preparation(size=size)
        source = PictureBatches(load_pictures(colours, "test"), preparation)
        folder = tmp_path / "cache"
        made = cache_features(folder, nn.AvgPool2d(32), source, compute=COMPUTE, title="", size=5)
        return np.array(made.features)

    whole = cached(224)
    state = tmp_path / "cache" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "done": 10}))
    marked = np.load(tmp_path / "cache" / "features.npy", mmap_mode="r+")
    marked[:] = 7
    marked.flush()
    resumed = cached(224)
    assert (resumed[:10] == 7).all(), "taken as done"
    assert np.array_equal(resumed[10:], whole[10:])
    assert cached(256).shape[-1] == 8
    assert np.array_equal(cached(224), whole)


def test_a_cache_that_was_stopped_at_its_beginning_is_not_taken_for_the_one_before(
    colours: Path, tmp_path: Path
) -> None:
    class Stopped(nn.AvgPool2d):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if len(inputs) < 8:
                raise KeyboardInterrupt
            return super().forward(inputs)

    def cached(size: int, network: nn.Module) -> NDArray[np.float16]:
        source = PictureBatches(load_pictures(colours, "test"), Preparation(size=size))
        made = cache_features(tmp_path / "cache", network, source, compute=COMPUTE, title="", size=8)
        return np.array(made.features)

    whole = cached(224, nn.AvgPool2d(32))
    with pytest.raises(KeyboardInterrupt):
        cached(225, Stopped(32))
    assert np.array_equal(cached(224, nn.AvgPool2d(32)), whole)


def test_a_cache_of_a_cache_depends_on_both_networks(colours: Path, tmp_path: Path) -> None:
    pictures = PictureBatches(load_pictures(colours, "test"), Preparation())
    first = cache_features(tmp_path / "1", nn.AvgPool2d(56), pictures, compute=COMPUTE, title="")
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = nn.Conv2d(3, 2, 1)
        made.append(
            np.array(cache_features(tmp_path / "2", network, first, compute=COMPUTE, title="").features)
        )
    assert not np.allclose(made[0], made[1])


def test_a_disk_without_room_is_refused_before_anything_is_written(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    pictures = PictureBatches(load_pictures(colours, "test"), Preparation())
    with pytest.raises(TrainingError, match="are free"):
        cache_features(tmp_path, nn.AvgPool2d(32), pictures, compute=COMPUTE, title="")


def test_what_no_frame_carries_is_refused_with_its_cut() -> None:
    shape = (1024, 14, 14)
    qualities = {"paper": Quality(id=0, codec="float32", latent_shape=shape, output="cae", tail=())}
    network = NetworkSpec(name="wide", cut="stem")
    check_payloads(qualities, network)
    qualities["paper"] = qualities["paper"].model_copy(update={"latent_shape": (4096, 14, 14)})
    with pytest.raises(
        TrainingError, match=r"paper .* 3,211,264 bytes at the cut stem .* cut where less crosses"
    ):
        check_payloads(qualities, network)


def test_a_bundles_name_is_checked_first(run: Run, colours: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lower-case"):
        export_bundle(run, tmp_path / "My bundle", load_pictures(colours, "test"), ORIGINS)


def test_pictures_of_other_classes_measure_nothing(bundle_path: Path, colours: Path) -> None:
    with pytest.raises(TrainingError, match="classes are not those"):
        evaluate_bundle(bundle_path, load_pictures(colours, "test"))


def test_settings_that_are_not_allowed_are_named() -> None:
    with pytest.raises(SettingsError, match=r"backbone\.dropout"):
        PRESETS["small"].changed(["backbone.dropout=2"])
    for change in ("backbone.dropout", "backbone=2", "nothing.dropout=0.1", "=", "."):
        with pytest.raises(SettingsError, match="the stages are data, teacher, backbone"):
            PRESETS["small"].changed([change])
    with pytest.raises(SettingsError, match=r"backbone\.droput"):
        PRESETS["small"].changed(["backbone.droput=0.1"])


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="can't be used here"):
        choose_compute("cuda:99")


def test_shares_have_wilsons_interval() -> None:
    measured = share(80, 100)
    assert (measured.value, round(measured.low, 4), round(measured.high, 4)) == (0.8, 0.7112, 0.8666)
    assert share(0, 10).low == 0
    assert share(10, 10).high == pytest.approx(1)
