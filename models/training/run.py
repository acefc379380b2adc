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
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

from models.training.augmentation import AugmentedSource, DrawnSource, Enlarge, Frozen
from models.training.autoencoder import build_autoencoder, train_autoencoder
from models.training.backbone import Backbone, build_backbone, cross_entropy, train_backbone
from models.training.data import Pictures, balanced_sample, load_pictures
from models.training.fallback import build_fallback, train_fallback
from models.training.loop import Job
from models.training.qualities import Integers, LearnedQuality, build_quality, train_quality
from models.training.settings import (
    AutoencoderSettings,
    ConvolutionSettings,
    FallbackSettings,
    Preset,
    QualitySettings,
    StageSettings,
    TeacherSettings,
)
from models.training.sources import CachedSource, Inputs, PictureSource, Source, cache_features, outputs
from models.training.teacher import build_teacher, train_teacher
from models.vgg16 import split_blocks
from shared.errors import TrainingError
from shared.picture import Preparation

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from models.autoencoder import Autoencoder
    from models.fallback import Fallback
    from models.training.device import Compute
    from models.training.loop import Fitted

    _Fit = tuple[Fitted, dict[str, nn.Module]]

_FEATURE_SHIFT = 4
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
    """

    model_config = ConfigDict(frozen=True)

    stands_on: dict[str, str] = {}

    classes: tuple[str, ...]
    training_pictures: int
    held_out_pictures: int
    held_out_loss: float
    held_out_accuracy: float
    settings: dict[str, JsonValue]
    hours: float
    compute: str
    data_sha256: str


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run's stages have made."""

    classes: tuple[str, ...]
    backbone: Backbone
    autoencoder: Autoencoder


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

    def pictures(self) -> Pair:
        """Choose the pictures to train on and the held-out ones.

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

    def train(self, stage: str, *, resume: bool) -> StageResult:
        """Train one stage; write its folder.

        Raises:
            TrainingError: a stage that it needs has not ended, its checkpoint can't be continued, or
                the loss is no number.
            SettingsError: the run has no such stage.

        """
        settings = self.settings.preset.settings_of(stage)
        if not resume:
            (self.folder / stage / _RESULT).unlink(missing_ok=True)
        pictures = self.pictures()
        job = Job(
            title=stage, folder=self.folder / stage, seed=self.seed, compute=self.compute, resume=resume
        )
        if isinstance(settings, TeacherSettings):
            fitted, networks = self._teacher(settings, pictures, job)
        elif isinstance(settings, ConvolutionSettings):
            fitted, networks = self._convolutions(stage, settings, pictures, job)
        elif isinstance(settings, FallbackSettings):
            fitted, networks = self._fallback(settings, pictures, job)
        elif isinstance(settings, AutoencoderSettings):
            fitted, networks = self._autoencoder(stage, settings, pictures, job)
        else:
            fitted, networks = self._quality(settings, pictures, job)
        return self._finish(stage, networks, fitted, settings, pictures)

    def fresh_backbone(self, classes: int) -> Backbone:
        """Build the networks that the first stage starts from."""
        settings = self.settings
        return build_backbone(settings.preset.backbone, settings.initial_weights, classes, self.seed)

    def trained_networks(self, kind: str = "cae") -> Trained:
        """Load what the stages made.

        Raises:
            TrainingError: one has not ended yet.

        """
        classes = self.result(self.last_backbone_stage).classes
        autoencoder = build_autoencoder(kind, self.seed)
        self._load(kind, encoder=autoencoder.encoder, decoder=autoencoder.decoder)
        return Trained(
            classes=classes,
            backbone=self._backbone_of(self.last_backbone_stage, len(classes)),
            autoencoder=autoencoder,
        )

    def trained_fallback(self) -> Fallback:
        """Load the device's own classifier.

        Raises:
            TrainingError: it has not been trained.

        """
        classes = len(self.result("fallback").classes)
        fallback = build_fallback(self.settings.preset.fallback, classes, self.seed)
        self._load("fallback", fallback=fallback)
        return fallback

    def trained_quality(self, name: str) -> LearnedQuality:
        """Load a learned quality.

        Raises:
            TrainingError: it has not been trained.

        """
        settings = self.settings.preset.qualities[name]
        quality = build_quality(settings, self.trained_networks().autoencoder, self.seed)
        self._load(name, quality=quality)
        return quality

    def training_integers(self, trained: Trained, quality: LearnedQuality) -> NDArray[np.int64]:
        """Compute what a learned quality makes of the training pictures: [N, d]."""
        features = self._features(trained.backbone, self.pictures()).training
        integers = torch.cat(list(outputs(Integers(quality), features, self.compute)))
        return integers.long().numpy()

    def training_latents(self, trained: Trained) -> Tensor:
        """Latents of the training pictures: [N, 128, 5, 5], float32."""
        features = self._features(trained.backbone, self.pictures()).training
        return torch.cat(list(outputs(trained.autoencoder.encoder, features, self.compute)))

    def features(self, backbone: Backbone, pictures: Pictures, name: str, variants: int = 1) -> CachedSource:
        """Compute the output of all convolutions, or take it from the cache."""
        if variants == 1:
            source = PictureSource(pictures, self.settings.preparation)
            return self._cache(f"features-{name}", backbone.convolutions, source)
        augmented = AugmentedSource(pictures, self.compute.device, mirrored=True, shift=_FEATURE_SHIFT)
        network = nn.Sequential(Enlarge(self.settings.preparation), backbone.convolutions)
        return self._cache(f"features-{name}", network, DrawnSource(augmented, variants, self.seed))

    def _teacher(self, settings: TeacherSettings, pictures: Pair, job: Job) -> _Fit:
        teacher = build_teacher(settings, len(pictures.training.classes), self.seed)
        device = self.compute.device
        pixels = Inputs(
            training=AugmentedSource(pictures.training, device, mirrored=True, shift=settings.shift),
            held_out=AugmentedSource(pictures.held_out, device, mirrored=False, shift=0),
        )
        return train_teacher(teacher, pixels, settings, job), {"teacher": teacher}

    def _convolutions(self, stage: str, settings: ConvolutionSettings, pictures: Pair, job: Job) -> _Fit:
        classes = len(pictures.training.classes)
        teacher = None
        if settings.soft_labels:
            teacher = build_teacher(self.settings.preset.teacher, classes, self.seed)
            self._load("teacher", teacher=teacher)
        backbone = (
            self.fresh_backbone(classes) if stage == "backbone" else self._backbone_of("backbone", classes)
        )
        inputs = self._convolution_inputs(backbone, settings, pictures)
        fitted = train_backbone(
            backbone, inputs, settings, cross_entropy(settings, teacher), self.settings.preparation, job
        )
        return fitted, {"convolutions": backbone.convolutions, "classifier": backbone.classifier}

    def _autoencoder(self, kind: str, settings: AutoencoderSettings, pictures: Pair, job: Job) -> _Fit:
        backbone = self._backbone_of(self.last_backbone_stage, len(pictures.training.classes))
        autoencoder = build_autoencoder(kind, self.seed)
        features = self._features(backbone, pictures)
        fitted = train_autoencoder(autoencoder, backbone.classifier, features, settings, job)
        return fitted, {"encoder": autoencoder.encoder, "decoder": autoencoder.decoder}

    def _fallback(self, settings: FallbackSettings, pictures: Pair, job: Job) -> _Fit:
        classes = len(pictures.training.classes)
        backbone = self._backbone_of(self.last_backbone_stage, classes)
        fallback = build_fallback(settings, classes, self.seed)
        fitted = train_fallback(fallback, self._features(backbone, pictures), settings, job)
        return fitted, {"fallback": fallback}

    def _quality(self, settings: QualitySettings, pictures: Pair, job: Job) -> _Fit:
        trained = self.trained_networks()
        quality = build_quality(settings, trained.autoencoder, self.seed)
        features = self._features(trained.backbone, pictures)
        fitted = train_quality(quality, trained.backbone.classifier, features, settings, job)
        return fitted, {"quality": quality}

    def _convolution_inputs(
        self, backbone: Backbone, settings: ConvolutionSettings, pictures: Pair
    ) -> Inputs:
        """Build what a stage trains on (pictures, pixels or the output of frozen blocks) and measures on."""
        frozen, _ = split_blocks(backbone.convolutions, settings.frozen_blocks)

        def prepared(part: Pictures, name: str) -> Source:
            source = PictureSource(part, self.settings.preparation)
            return self._cache(f"frozen-{name}", frozen, source) if len(frozen) else source

        def pixels(part: Pictures) -> Source:
            device, mirrored, shift = self.compute.device, settings.mirrored, settings.shift
            return AugmentedSource(part, device, mirrored=mirrored, shift=shift)

        return Inputs(
            training=pixels(pictures.training)
            if settings.augmented
            else prepared(pictures.training, "training"),
            held_out=prepared(pictures.held_out, "held-out"),
        )

    def _features(self, backbone: Backbone, pictures: Pair) -> Inputs:
        """Build what the autoencoder sees: the output of all convolutions."""
        return Inputs(
            training=self.features(
                backbone, pictures.training, "training", self.settings.preset.data.variants
            ),
            held_out=self.features(backbone, pictures.held_out, "held-out"),
        )

    def _cache(self, name: str, network: nn.Module, source: Source) -> CachedSource:
        folder = self.folder / "cache" / name
        return cache_features(folder, Frozen(network), source, compute=self.compute, title=name)

    def _backbone_of(self, stage: str, classes: int) -> Backbone:
        backbone = self.fresh_backbone(classes)
        self._load(stage, convolutions=backbone.convolutions, classifier=backbone.classifier)
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

    def _load(self, stage: str, **networks: nn.Module) -> None:
        self._check_ended(stage)
        state = load_file(self.folder / stage / _NETWORKS)
        for name, network in networks.items():
            prefix = f"{name}."
            network.load_state_dict(
                {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            )

    def _finish(
        self,
        stage: str,
        networks: dict[str, nn.Module],
        fitted: Fitted,
        settings: StageSettings,
        pictures: Pair,
    ) -> StageResult:
        state = {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, network in networks.items()
            for key, value in network.state_dict().items()
        }
        save_file(state, self.folder / stage / _NETWORKS)
        result = StageResult(
            stands_on=self._digests(stage),
            classes=pictures.training.classes,
            training_pictures=len(pictures.training),
            held_out_pictures=len(pictures.held_out),
            held_out_loss=fitted.validation.loss,
            held_out_accuracy=fitted.validation.accuracy,
            settings=settings.model_dump(mode="json"),
            hours=fitted.seconds / 3600,
            compute=str(self.compute),
            data_sha256=pictures.training.digest(),
        )
        (self.folder / stage / _RESULT).write_text(result.model_dump_json(indent=2) + "\n")
        return result


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
