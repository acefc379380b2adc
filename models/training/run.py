"""A training run: its folder, its settings, and its two stages.

runs/<name>/
    settings.json     what was asked for
    cache/            outputs of frozen networks (may be deleted; made again when needed)
    backbone/  cae/  sae/
        log.csv  loss.png  checkpoint.pt  networks.safetensors  result.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from safetensors.torch import load_file, save_file

from models.training.autoencoder import build_autoencoder, train_autoencoder
from models.training.backbone import Backbone, build_backbone, train_backbone
from models.training.data import Pictures, balanced_sample, load_pictures
from models.training.settings import AutoencoderSettings, Preset
from models.training.sources import Inputs, PictureSource, Source, cache_features, outputs
from shared.errors import TrainingError
from shared.picture import Preparation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.autoencoder import Autoencoder
    from models.training.device import Compute
    from models.training.loop import Fitted


_SETTINGS = "settings.json"
_NETWORKS = "networks.safetensors"
_RESULT = "result.json"
_RESULTS = (_NETWORKS, _RESULT)


class RunSettings(BaseModel):
    """What a run was asked for; kept in its folder so that later stages repeat it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset
    preparation: Preparation = Preparation()
    data: str
    initial_weights: str


class StageResult(BaseModel):
    """How a stage ended, for model card and report."""

    model_config = ConfigDict(frozen=True)

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
    """What a run's two stages have made."""

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

    def backbone(self, *, resume: bool) -> StageResult:
        """Train convolutions and classifier; write ``backbone/``, and end what stood on an earlier one."""
        if not resume:
            for stage in ("backbone", "cae", "sae"):
                for name in _RESULTS:
                    (self.folder / stage / name).unlink(missing_ok=True)
        training, held_out = self._pictures()
        backbone = self._fresh_backbone(len(training.classes))
        result = train_backbone(
            backbone,
            self._inputs(backbone, training, held_out),
            self.settings.preset.backbone,
            folder=self.folder / "backbone",
            seed=self.seed,
            compute=self.compute,
            resume=resume,
        )
        networks = {"convolutions": backbone.convolutions(), "classifier": backbone.classifier}
        return self._finish("backbone", networks, result, self.settings.preset.backbone, training, held_out)

    def autoencoder(self, settings: AutoencoderSettings, *, resume: bool) -> StageResult:
        """Train the CAE or SAE on the backbone's features; write ``cae/`` or ``sae/``."""
        training, held_out = self._pictures()
        backbone = self._fresh_backbone(len(training.classes))
        self._load("backbone", convolutions=backbone.convolutions(), classifier=backbone.classifier)
        autoencoder = build_autoencoder(settings.kind, self.seed)
        result = train_autoencoder(
            autoencoder,
            backbone.classifier,
            self._features(backbone, training, held_out),
            settings,
            folder=self.folder / settings.kind,
            seed=self.seed,
            compute=self.compute,
            resume=resume,
        )
        networks = {"encoder": autoencoder.encoder, "decoder": autoencoder.decoder}
        return self._finish(settings.kind, networks, result, settings, training, held_out)

    def trained_networks(self) -> Trained:
        """Load the results of both stages, with the CAE.

        Raises:
            TrainingError: one has not ended yet.

        """
        classes = self.result("backbone").classes
        backbone = self._fresh_backbone(len(classes))
        self._load("backbone", convolutions=backbone.convolutions(), classifier=backbone.classifier)
        autoencoder = build_autoencoder("cae", self.seed)
        self._load("cae", encoder=autoencoder.encoder, decoder=autoencoder.decoder)
        return Trained(classes=classes, backbone=backbone, autoencoder=autoencoder)

    def training_latents(self, trained: Trained) -> Tensor:
        """Latents of the training pictures: [N, 128, 5, 5], float32."""
        features = self._features(trained.backbone, *self._pictures()).training
        return torch.cat(list(outputs(trained.autoencoder.encoder, features, self.compute)))

    def result(self, stage: str) -> StageResult:
        """Read how a stage ended.

        Raises:
            TrainingError: it has not ended yet.

        """
        file = self.folder / stage / _RESULT
        if not file.exists():
            raise TrainingError(f"stage {stage} has not ended in {self.folder}; train it first")
        return StageResult.model_validate_json(file.read_bytes())

    def _pictures(self) -> tuple[Pictures, Pictures]:
        data = self.settings.preset.data
        pictures = load_pictures(Path(self.settings.data), "train")
        pictures.check_readable()
        held_out = balanced_sample(pictures.labels, data.held_out, data.seed)
        rest = np.setdiff1d(np.arange(len(pictures)), held_out)
        if data.pictures:
            rest = rest[balanced_sample(pictures.labels[rest], data.pictures, data.seed)]
        return pictures.subset(rest), pictures.subset(held_out)

    def _fresh_backbone(self, classes: int) -> Backbone:
        settings = self.settings
        return build_backbone(settings.preset.backbone, settings.initial_weights, classes, self.seed)

    def _inputs(self, backbone: Backbone, training: Pictures, held_out: Pictures) -> Inputs:
        """Build what the trained convolutions see: pictures, or where blocks are frozen, their output."""
        preparation, mirrored = self.settings.preparation, self.settings.preset.data.mirrored
        pictures = Inputs(
            training=PictureSource(training, preparation, mirrored=mirrored),
            held_out=PictureSource(held_out, preparation, mirrored=False),
        )
        return self._cached("frozen-blocks", backbone.frozen, pictures) if len(backbone.frozen) else pictures

    def _features(self, backbone: Backbone, training: Pictures, held_out: Pictures) -> Inputs:
        """Build what the autoencoder sees: the output of all convolutions."""
        return self._cached("features", backbone.trained, self._inputs(backbone, training, held_out))

    def _cached(self, name: str, network: nn.Module, inputs: Inputs) -> Inputs:
        def cached(source: Source, part: str) -> Source:
            folder = self.folder / "cache" / f"{name}-{part}"
            title = f"{name}, {part} pictures"
            return cache_features(folder, network, source, compute=self.compute, title=title)

        return Inputs(
            training=cached(inputs.training, "training"), held_out=cached(inputs.held_out, "held-out")
        )

    def _load(self, stage: str, **networks: nn.Module) -> None:
        file = self.folder / stage / _NETWORKS
        if not file.exists():
            raise TrainingError(f"stage {stage} has not ended in {self.folder}; train it first")
        state = load_file(file)
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
        settings: BaseModel,
        training: Pictures,
        held_out: Pictures,
    ) -> StageResult:
        state = {
            f"{name}.{key}": value.detach().cpu().contiguous()
            for name, network in networks.items()
            for key, value in network.state_dict().items()
        }
        save_file(state, self.folder / stage / _NETWORKS)
        result = StageResult(
            classes=training.classes,
            training_pictures=len(training),
            held_out_pictures=len(held_out),
            held_out_loss=fitted.validation.loss,
            held_out_accuracy=fitted.validation.accuracy,
            settings=settings.model_dump(mode="json"),
            hours=fitted.seconds / 3600,
            compute=str(self.compute),
            data_sha256=training.digest(),
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
        raise TrainingError(f"{folder} holds no run; begin one with the stage 'backbone'") from None
    except ValidationError as exc:
        raise TrainingError(f"{file} is damaged ({exc.error_count()} errors); begin the run anew") from exc
    return Run(folder=folder, settings=found, compute=compute)
