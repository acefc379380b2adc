"""A training run: its folder, with settings, results and weights, and the training of a stage there.

runs/<name>/
    settings.json     what was asked for
    cache/            outputs of frozen networks (may be deleted; made again when needed)
    teacher/  backbone/  finetune/  fallback/  cae/  q1/ ...  sae/
        log.csv  loss.png  checkpoint.pt  networks.safetensors  result.json
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from splitwire.models.device import Compute
from splitwire.models.errors import TrainingError
from splitwire.models.networks import PAPERS
from splitwire.models.training.data.batches import Batches
from splitwire.models.training.data.cache import CachedBatches, cache_features
from splitwire.models.training.data.check import DataSet, open_data
from splitwire.models.training.fitting.loop import CHECKPOINT, CHECKPOINT_SECONDS, Training, fit
from splitwire.models.training.pipeline import Pipeline, Preset, pipeline
from splitwire.models.training.stages.backbone import Architecture
from splitwire.models.training.stages.features import FeatureStage
from splitwire.models.training.stages.stage import AnyStage, Earlier, Network, Stage, StageResult
from splitwire.models.vgg16 import CUT
from splitwire.shared.bundle import NetworkSpec
from splitwire.shared.errors import SettingsError
from splitwire.shared.pictures.loading import Preparation

_SETTINGS = "settings.json"
_NETWORKS = "networks.safetensors"
_RESULT = "result.json"


class RunSettings(BaseModel):
    """What a run was asked for; kept in its folder so that later stages repeat it.

    ``bundle``: the id of the model bundle that it began from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset
    network: str = PAPERS
    cut: str = CUT
    preparation: Preparation = Preparation()
    data: str
    initial_weights: str
    bundle: str | None = None

    @property
    def start(self) -> dict[str, object]:
        """What no stage can do without, whatever its own settings: the pictures, and the first weights."""
        pictures = self.preset.data.model_dump(exclude={"variants", "plain"})
        return {**self.model_dump(exclude={"preset"}), "pictures": pictures}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run's folder and settings."""

    folder: Path
    settings: RunSettings
    compute: Compute

    @property
    def seed(self) -> int:
        """The seed of all stages; a stage may add its own."""
        return self.settings.preset.data.seed

    @cached_property
    def pipeline(self) -> Pipeline:
        """The stages, as the settings ask for them."""
        settings, backbone = self.settings, self.settings.preset.backbone
        hidden = backbone.hidden if settings.network == PAPERS else ()
        architecture = Architecture(
            spec=NetworkSpec(name=settings.network, cut=settings.cut, hidden=hidden),
            size=settings.preparation.size,
            dropout=backbone.dropout,
        )
        return pipeline(settings.preset, architecture)

    @property
    def needed(self) -> tuple[AnyStage, ...]:
        """The stages that a bundle needs."""
        return tuple(stage for stage in self.pipeline.stages if stage.for_bundle)

    def stage(self, name: str) -> AnyStage:
        """Look a stage up."""
        by_name = {stage.name: stage for stage in self.pipeline.stages}
        if name not in by_name:
            known = ", ".join(by_name)
            raise SettingsError(f"there is no stage {name} in these settings; the stages are {known}")
        return by_name[name]

    @cached_property
    def pictures(self) -> DataSet:
        """The pictures to train on, to measure progress on and to test, chosen and checked once."""
        return open_data(Path(self.settings.data), self.settings.preset.data)

    def cached(self, name: str, network: nn.Module, batches: Batches) -> CachedBatches:
        """Run a frozen network over pictures, once."""
        return cache_features(
            self.folder / "cache" / name, network, batches, compute=self.compute, title=name
        )

    def untrained(self, stage: Stage[Network], classes: int) -> Network:
        """Build a stage's network with random weights: the same ones every time."""
        torch.manual_seed(self.seed + stage.seed)
        return stage.build(classes)

    def trained(self, stage: Stage[Network]) -> Network:
        """Load the network that a stage made."""
        network = self.untrained(stage, len(self.result(stage).classes))
        file = self._networks(stage)
        if not file.exists():
            raise TrainingError(
                f"{file} is absent: a run that began from a bundle has only what the bundle holds; "
                f"train {stage.name} anew"
            )
        try:
            state = load_file(file)
            network.load_state_dict({name.removeprefix(stage.prefix): value for name, value in state.items()})
        except (SafetensorError, RuntimeError) as exc:
            raise TrainingError(f"{file} is damaged; train {stage.name} anew") from exc
        return network

    def has_weights(self, stage: AnyStage) -> bool:
        """Tell whether a stage has ended and its network is here: in a run that began from a bundle some are not."""
        return self.has_ended(stage) and self._networks(stage).exists()

    def has_ended(self, stage: AnyStage) -> bool:
        """Tell whether a stage has ended as it is asked for now, and none that it stands on was trained anew since."""
        return self._result(stage) is not None

    def is_stale(self, stage: AnyStage) -> bool:
        """Tell whether a stage ended, but with other settings or on what was trained anew since, or left damage."""
        return (self.folder / stage.name / _RESULT).exists() and not self.has_ended(stage)

    def result(self, stage: AnyStage) -> StageResult:
        """Read how a stage ended."""
        result = self._result(stage)
        if result is None:
            raise TrainingError(
                f"stage {stage.name} has not ended in {self.folder}, or with other settings, or on what was trained "
                "anew since; train it first"
            )
        return result

    def forget(self, stage: AnyStage) -> None:
        """Forget how a stage ended, and how far it came."""
        for name in (_RESULT, _NETWORKS, CHECKPOINT):
            (self.folder / stage.name / name).unlink(missing_ok=True)

    def end(self, stage: AnyStage, network: nn.Module | None, result: StageResult) -> StageResult:
        """Write a stage's weights, where they are known, and its result."""
        folder = self.folder / stage.name
        folder.mkdir(parents=True, exist_ok=True)
        if network is not None:
            state = {
                stage.prefix + name: value.detach().cpu().contiguous()
                for name, value in network.state_dict().items()
            }
            save_file(state, self._networks(stage))
        result = result.model_copy(update={"stands_on": self._stands_on(stage)})
        partial = folder / f"{_RESULT}.partial"
        partial.write_text(result.model_dump_json(indent=2) + "\n")
        partial.replace(folder / _RESULT)
        return result

    def _result(self, stage: AnyStage) -> StageResult | None:
        try:
            result = StageResult.model_validate_json((self.folder / stage.name / _RESULT).read_bytes())
            had = type(stage.settings).model_validate(result.settings)
        except (FileNotFoundError, ValidationError):
            return None
        if (had, result.stands_on) != (stage.settings, self._stands_on(stage)):
            return None
        result = result.model_copy(update={"settings": had.model_dump(mode="json")})
        return result if all(map(self.has_ended, stage.needs)) else None

    def _networks(self, stage: AnyStage) -> Path:
        return self.folder / stage.name / _NETWORKS

    def _stands_on(self, stage: AnyStage) -> dict[str, str]:
        files = {needed.name: self._networks(needed) for needed in stage.needs}
        return {
            name: hashlib.sha256(file.read_bytes()).hexdigest()
            for name, file in files.items()
            if file.exists()
        }


def begin_run(folder: Path, compute: Compute, settings: RunSettings, *, resume: bool) -> Run:
    """Begin a run; with ``resume``, go on with it where the folder has one.

    Without, the results of a run with other pictures or initial weights are forgotten.

    Raises:
        TrainingError: the run that is there has other settings.

    """
    if resume and (folder / _SETTINGS).exists():
        run = open_run(folder, compute)
        if run.settings != settings:
            raise TrainingError(f"the run in {folder} has other settings; repeat them, or leave out --resume")
        return run
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder=folder, settings=settings, compute=compute)
    try:
        found = open_run(folder, compute).settings
    except TrainingError:
        found = None
    if found is None or found.start != settings.start:
        stale = list(folder.glob(f"*/{_RESULT}"))
    elif found.preset.data != settings.preset.data:
        after = (stage for stage in run.pipeline.stages if isinstance(stage, FeatureStage))
        stale = [folder / stage.name / _RESULT for stage in after]
    else:
        stale = []
    for result in stale:
        result.unlink(missing_ok=True)
    (folder / _SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n")
    return run


def open_run(folder: Path, compute: Compute) -> Run:
    """Go on with a run.

    Raises:
        TrainingError: the folder has no run, or its settings can't be read.

    """
    file = folder / _SETTINGS
    try:
        found = RunSettings.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise TrainingError(f"{folder} holds no run; begin one first") from None
    except ValidationError as exc:
        raise TrainingError(f"{file} is damaged ({exc.error_count()} errors); begin the run anew") from exc
    return Run(folder=folder, settings=found, compute=compute)


def train_stage(
    run: Run, stage: AnyStage, *, resume: bool, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> StageResult:
    """Train one stage; write its folder."""
    pictures = run.pictures
    earlier = Earlier(stage, run.trained)
    network = run.untrained(stage, len(pictures.training.classes))
    stage.start(network, run, earlier)
    inputs = stage.inputs(network, run, earlier)
    stage.calibrate(network, inputs.training)
    if not resume:
        run.forget(stage)
    training = Training(
        title=stage.name,
        folder=run.folder / stage.name,
        compute=run.compute,
        seed=run.seed + stage.seed,
        settings=stage.settings,
        network=stage.to_train(network, run),
        optimizer=stage.optimizer(network),
        batches=inputs.training,
        loss=stage.loss(earlier),
        validate=lambda: stage.validate(network, inputs.held_out, earlier, run.compute),
    )
    validation, seconds = fit(training, resume=resume, checkpoint_seconds=checkpoint_seconds)
    result = StageResult(
        data=run.settings.preset.data,
        classes=pictures.training.classes,
        training_pictures=len(pictures.training),
        held_out_pictures=len(pictures.held_out),
        held_out_loss=validation.loss,
        held_out_accuracy=validation.accuracy,
        settings=stage.settings.model_dump(mode="json"),
        hours=seconds / 3600,
        compute=str(run.compute),
        data_sha256=pictures.training.digest(),
    )
    return run.end(stage, network, result)
