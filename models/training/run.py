"""A training run: its folder, its settings, and its stages.

runs/<name>/
    settings.json     what was asked for
    cache/            outputs of frozen networks (may be deleted; made again when needed)
    teacher/  backbone/  finetune/  cae/  sae/
        log.csv  loss.png  checkpoint.pt  networks.safetensors  result.json
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.pictures import Pictures, balanced_sample, load_pictures
from splitwire.models.training.settings import (
    AutoencoderSettings,
    ConvolutionSettings,
    DataSettings,
    FallbackSettings,
    Preset,
    QualitySettings,
)
from splitwire.models.training.stages.autoencoder import build_autoencoder
from splitwire.models.training.stages.backbone import Backbone, build_backbone
from splitwire.models.training.stages.fallback import build_fallback
from splitwire.models.training.stages.qualities import LearnedQuality, build_quality
from splitwire.shared.pictures.loading import Preparation

if TYPE_CHECKING:
    from splitwire.models.autoencoder import Autoencoder
    from splitwire.models.fallback import Fallback
    from splitwire.models.training.fitting.device import Compute
    from splitwire.models.training.fitting.loop import Fitted

    _Fit = tuple[Fitted, dict[str, nn.Module]]

_SETTINGS = "settings.json"
_NETWORKS = "networks.safetensors"
_RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Pictures to train on, and those held out."""

    training: Pictures
    held_out: Pictures


class RunSettings(BaseModel):
    """What a run was asked for; kept in its folder so that later stages repeat it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset
    preparation: Preparation = Preparation()
    data: str
    initial_weights: str


class StageResult(BaseModel):
    """How a stage ended, for model card and report.

    ``stands_on``: the stages it started from or learned from, with the SHA-256 of their networks.
    ``held_out_loss``: None where it was not kept.
    """

    model_config = ConfigDict(frozen=True)

    stands_on: dict[str, str] = {}
    data: DataSettings
    classes: tuple[str, ...]
    training_pictures: int
    held_out_pictures: int
    held_out_loss: float | None
    held_out_accuracy: float
    settings: dict[str, JsonValue]
    hours: float
    compute: str
    data_sha256: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run's folder and settings."""

    folder: Path
    settings: RunSettings
    compute: Compute

    @property
    def seed(self) -> int:
        """The one seed of all stages."""
        return self.settings.preset.data.seed

    @property
    def last_backbone_stage(self) -> str:
        """The stage whose convolutions and classifier count."""
        return "finetune" if self.settings.preset.finetune else "backbone"

    def has_ended(self, stage: str) -> bool:
        """Tell whether a stage has ended, and none that it stands on was trained anew since."""
        file = self.folder / stage / _RESULT
        if not file.exists():
            return False
        stands_on = StageResult.model_validate_json(file.read_bytes()).stands_on
        return stands_on == self._digests(stage)

    def result(self, stage: str) -> StageResult:
        """Read how a stage ended.

        Raises:
            TrainingError: it has not ended yet, or has to be trained anew.

        """
        self._check_ended(stage)
        return StageResult.model_validate_json((self.folder / stage / _RESULT).read_bytes())

    @cached_property
    def pictures(self) -> Pair:
        """The pictures to train on and the held-out ones, chosen and found readable once.

        Raises:
            TrainingError: they are absent or damaged, or too few.

        """
        data = self.settings.preset.data
        pictures = load_pictures(Path(self.settings.data), "train")
        pictures.check_readable()
        held_out = balanced_sample(pictures.labels, data.held_out, data.seed)
        rest = np.setdiff1d(np.arange(len(pictures)), held_out)
        if data.pictures:
            rest = rest[balanced_sample(pictures.labels[rest], data.pictures, data.seed)]
        return Pair(training=pictures.subset(rest), held_out=pictures.subset(held_out))

    def fresh_backbone(self, classes: int) -> Backbone:
        """Build the networks that the first stage starts from."""
        settings = self.settings
        return build_backbone(settings.preset.backbone, classes, self.seed, settings.initial_weights)

    def untrained_backbone(self, classes: int) -> Backbone:
        """Build the same networks with random weights."""
        return build_backbone(self.settings.preset.backbone, classes, self.seed)

    def trained_autoencoder(self, kind: str) -> Autoencoder:
        """Load the CAE or the SAE.

        Raises:
            TrainingError: it has not been trained.

        """
        autoencoder = build_autoencoder(kind, self.seed)
        self.load(kind, encoder=autoencoder.encoder, decoder=autoencoder.decoder)
        return autoencoder

    def trained_fallback(self) -> Fallback:
        """Load the device's own classifier.

        Raises:
            TrainingError: it has not been trained.

        """
        classes = len(self.result("fallback").classes)
        fallback = build_fallback(self.settings.preset.fallback, classes, self.seed)
        self.load("fallback", fallback=fallback)
        return fallback

    def trained_quality(self, name: str) -> LearnedQuality:
        """Load a learned quality.

        Raises:
            TrainingError: it has not been trained.

        """
        quality = self.new_quality(name)
        self.load(name, quality=quality)
        return quality

    def new_quality(self, name: str) -> LearnedQuality:
        """Build a learned quality as its training starts.

        Raises:
            TrainingError: the CAE has not been trained.

        """
        settings = self.settings.preset.qualities[name]
        return build_quality(settings, self.trained_autoencoder("cae"), self.seed + settings.seed)

    def trained_backbone(self, stage: str, classes: int) -> Backbone:
        """Load what a stage made of convolutions and classifier.

        Raises:
            TrainingError: it has not ended.

        """
        backbone = self.untrained_backbone(classes)
        self.load(stage, convolutions=backbone.convolutions, classifier=backbone.classifier)
        return backbone

    def _check_ended(self, stage: str) -> None:
        if not self.has_ended(stage):
            raise TrainingError(
                f"stage {stage} has not ended in {self.folder}, or on what was trained anew since; train it first"
            )

    def _stands_on(self, stage: str) -> tuple[str, ...]:
        if stage == "teacher":
            return ()
        settings = self.settings.preset.settings_of(stage)
        if isinstance(settings, FallbackSettings | AutoencoderSettings):
            return (self.last_backbone_stage,)
        if isinstance(settings, QualitySettings):
            return (self.last_backbone_stage, "cae")
        taught = isinstance(settings, ConvolutionSettings) and settings.soft_labels
        return (*(("teacher",) if taught else ()), *(("backbone",) if stage == "finetune" else ()))

    def _digests(self, stage: str) -> dict[str, str]:
        files = {name: self.folder / name / _NETWORKS for name in self._stands_on(stage)}
        return {
            name: hashlib.sha256(file.read_bytes()).hexdigest()
            for name, file in files.items()
            if file.exists()
        }

    def load(self, stage: str, **networks: nn.Module) -> None:
        """Fill networks with what a stage made, by their names.

        Raises:
            TrainingError: it has not ended.

        """
        self._check_ended(stage)
        file = self.folder / stage / _NETWORKS
        if not file.exists():
            raise TrainingError(
                f"{file} is absent: a run that began from a bundle has only what the bundle holds; train {stage} anew"
            )
        state = load_file(file)
        for name, network in networks.items():
            prefix = f"{name}."
            network.load_state_dict(
                {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            )

    def begin_stage(self, stage: str) -> None:
        """Forget how a stage ended before."""
        (self.folder / stage / _RESULT).unlink(missing_ok=True)

    def end_stage(self, stage: str, networks: dict[str, nn.Module], result: StageResult) -> StageResult:
        """Write a stage's networks, as far as there are any, and its result."""
        folder = self.folder / stage
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, network in networks.items()
            for key, value in network.state_dict().items()
        }
        if state:
            save_file(state, folder / _NETWORKS)
        result = result.model_copy(update={"stands_on": self._digests(stage)})
        (folder / _RESULT).write_text(result.model_dump_json(indent=2) + "\n")
        return result

    def result_of(self, stage: str, fitted: Fitted, pictures: Pair) -> StageResult:
        """Describe how a stage ended."""
        return StageResult(
            data=self.settings.preset.data,
            classes=pictures.training.classes,
            training_pictures=len(pictures.training),
            held_out_pictures=len(pictures.held_out),
            held_out_loss=fitted.validation.loss,
            held_out_accuracy=fitted.validation.accuracy,
            settings=self.settings.preset.settings_of(stage).model_dump(mode="json"),
            hours=fitted.seconds / 3600,
            compute=str(self.compute),
            data_sha256=pictures.training.digest(),
        )


def begin_run(folder: Path, compute: Compute, settings: RunSettings, *, resume: bool) -> Run:
    """Begin a run; with ``resume``, go on with it where the folder has one.

    Raises:
        TrainingError: the run that is there has other settings.

    """
    if resume and (folder / _SETTINGS).exists():
        run = open_run(folder, compute)
        if run.settings != settings:
            raise TrainingError(f"the run in {folder} has other settings; repeat them, or leave out --resume")
        return run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n")
    return Run(folder=folder, settings=settings, compute=compute)


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
