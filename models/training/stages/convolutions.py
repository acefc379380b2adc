"""Stages ``backbone`` and ``finetune``: VGG16's convolutions and the classifier, by cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from splitwire.models.device import Compute
from splitwire.models.errors import TrainingError
from splitwire.models.loading import fill
from splitwire.models.training.data.batches import AugmentedBatches, Batches, Enlarge, Parts, PictureBatches
from splitwire.models.training.data.cache import Frozen, frozen_network
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.stages.stage import (
    AnyStage,
    CrossEntropy,
    Draft,
    Earlier,
    InputSizes,
    Stage,
    StageSettings,
    Widths,
    measure,
)
from splitwire.models.training.stages.teacher import TeacherStage
from splitwire.models.vgg16 import BLOCK_SHAPES, Classifier, convolutions, split_blocks
from splitwire.shared.bundle import CLASSIFIER, CONVOLUTIONS, Bundle

if TYPE_CHECKING:
    from splitwire.models.training.run import Run

TORCHVISION_WEIGHTS = "IMAGENET1K_FEATURES"
_PREFIX = "features."


class ConvolutionSettings(StageSettings):
    """A stage that trains convolutions and classifier, by cross-entropy.

    ``frozen_blocks``: of VGG16's five, how many keep their weights. Rates are Adam's (its decoupled
    form, where ``weight_decay`` > 0). ``mirrored``: each picture is, in every
    other epoch; ``shift``: by how many of their own pixels they are moved at most. Without both, the
    output of frozen blocks is computed once and cached. ``soft_labels``: the teacher's share in what
    is learned; the rest is the class, smoothed.
    """

    frozen_blocks: int = Field(ge=0, le=5)
    convolution_rate: float = Field(gt=0)
    classifier_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    mirrored: bool = False
    shift: int = Field(default=0, ge=0)
    soft_labels: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _teacher_sees_pictures(self) -> Self:
        if self.soft_labels and not self.augmented:
            raise ValueError("soft labels want changed pictures: set mirrored or shift")
        return self

    @property
    def augmented(self) -> bool:
        """Tell whether pictures are changed at random, so that nothing can be cached."""
        return self.mirrored or self.shift > 0


class BackboneSettings(ConvolutionSettings):
    """The first stage, from the initial weights and a fresh classifier."""

    frozen_blocks: int = Field(default=4, ge=0, le=5)
    hidden: Widths = (512, 512)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    epochs: int = Field(default=3, gt=0)
    batch: int = Field(default=32, gt=0)
    convolution_rate: float = Field(default=3e-5, gt=0)
    classifier_rate: float = Field(default=2e-4, gt=0)


class FinetuneSettings(ConvolutionSettings):
    """The second stage, from where the first one ended: more blocks, changed pictures, a teacher."""

    frozen_blocks: int = Field(default=2, ge=0, le=5)
    epochs: int = Field(default=2, gt=0)
    batch: int = Field(default=64, gt=0)
    convolution_rate: float = Field(default=7e-5, gt=0)
    classifier_rate: float = Field(default=2e-4, gt=0)
    mirrored: bool = True
    shift: int = Field(default=4, ge=0)
    soft_labels: float = Field(default=0.5, ge=0, le=1)


class Backbone(nn.Module):
    """All 13 convolutions, under VGG16's numbering, and the classifier: [N, 3, 224, 224] -> logits [N, classes]."""

    def __init__(self, classes: int, settings: BackboneSettings) -> None:
        super().__init__()
        self.convolutions = convolutions()
        self.classifier = Classifier(classes, settings.hidden, settings.dropout)

    def forward(self, pictures: Tensor) -> Tensor:
        """Picture to logits."""
        logits: Tensor = self.classifier(self.convolutions(pictures))
        return logits

    def after(self, blocks: int) -> nn.Sequential:
        """Share all that follows the first blocks."""
        return nn.Sequential(split_blocks(self.convolutions, blocks)[1], self.classifier)


@dataclass(frozen=True, kw_only=True)
class ConvolutionStage(Stage[Backbone]):
    """Sees pictures: changed at random, or what the frozen blocks make of them.

    ``shape``: has the sizes of the classifier. ``before``: the stage that it goes on from; None: it starts from the
    initial weights.
    """

    settings: ConvolutionSettings
    shape: BackboneSettings
    teacher: TeacherStage
    before: ConvolutionStage | None = None
    what = "convolutions after the frozen blocks, and the classifier, by cross-entropy; Adam"

    @property
    def needs(self) -> tuple[AnyStage, ...]:
        teacher = (self.teacher,) if self.settings.soft_labels else ()
        return (*teacher, self.before) if self.before else teacher

    def build(self, classes: int) -> Backbone:
        return Backbone(classes, self.shape)

    def start(self, network: Backbone, run: Run, earlier: Earlier) -> None:
        if self.before:
            network.load_state_dict(earlier[self.before].state_dict())
        else:
            initial = initial_convolutions(run.settings.initial_weights)
            network.convolutions.load_state_dict(initial.state_dict())

    def inputs(self, network: Backbone, run: Run, earlier: Earlier) -> Parts[Batches]:
        settings = self.settings
        frozen = frozen_network(network.convolutions, settings.frozen_blocks)

        def prepared(pictures: Pictures, part: str) -> Batches:
            batches = PictureBatches(pictures, run.settings.preparation)
            return run.cached(f"frozen-{part}", frozen, batches) if settings.frozen_blocks else batches

        training: Batches
        if settings.augmented:
            training = AugmentedBatches(
                run.pictures.training, run.compute.device, mirrored=settings.mirrored, shift=settings.shift
            )
        else:
            training = prepared(run.pictures.training, "training")
        return Parts(training=training, held_out=prepared(run.pictures.held_out, "held-out"))

    def to_train(self, network: Backbone, run: Run) -> nn.Module:
        blocks = self.settings.frozen_blocks
        following = network.after(blocks)
        if not self.settings.augmented:
            return following
        frozen, _ = split_blocks(network.convolutions, blocks)
        return nn.Sequential(Enlarge(run.settings.preparation), Frozen(frozen), following)

    def optimizer(self, network: Backbone) -> Optimizer:
        settings = self.settings
        _, trained = split_blocks(network.convolutions, settings.frozen_blocks)
        groups = [
            {"params": list(trained.parameters()), "lr": settings.convolution_rate},
            {"params": list(network.classifier.parameters()), "lr": settings.classifier_rate},
        ]
        adam = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
        return adam([group for group in groups if group["params"]], weight_decay=settings.weight_decay)

    def loss(self, earlier: Earlier) -> nn.Module:
        settings = self.settings
        return CrossEntropy(
            label_smoothing=settings.label_smoothing,
            teacher=earlier[self.teacher] if settings.soft_labels else None,
            soft_labels=settings.soft_labels,
        )

    def validate(
        self, network: Backbone, held_out: Batches, earlier: Earlier, compute: Compute
    ) -> Validation:
        return measure(network.after(self.settings.frozen_blocks), held_out, compute)

    def sizes(self, run: Run) -> InputSizes:
        training, held_out = run.pictures.training, run.pictures.held_out
        blocks, side = self.settings.frozen_blocks, training.image(0).width
        return InputSizes(
            shape=(3, side, side) if self.settings.augmented else BLOCK_SHAPES[blocks],
            count=len(training),
            cache="frozen",
            cached_blocks=blocks,
            cached_count=len(held_out) + (0 if self.settings.augmented else len(training)),
        )

    def export(self, network: Backbone, draft: Draft) -> None:
        convolutions = draft.add("device/convolutions.safetensors", {CONVOLUTIONS: network.convolutions})
        draft.device.append(convolutions)
        draft.cloud.append(draft.add("cloud/classifier.safetensors", {CLASSIFIER: network.classifier}))

    def restore(self, network: Backbone, device: Bundle, cloud: Bundle) -> None:
        fill(network.convolutions, CONVOLUTIONS, device, None)
        fill(network.classifier, CLASSIFIER, cloud, None)


def initial_convolutions(weights: str | Path) -> nn.Sequential:
    """Build the convolutions with pre-trained weights.

    Args:
        weights: ``IMAGENET1K_FEATURES`` for torchvision's (fetched once), or a safetensors file
            with torchvision's names (``features.0.weight``, ...).

    """
    network = convolutions()
    state = _of_torchvision() if str(weights) == TORCHVISION_WEIGHTS else _of_file(weights)
    own = {name.removeprefix(_PREFIX): value.float() for name, value in state.items() if _PREFIX in name}
    try:
        network.load_state_dict(own)
    except RuntimeError as exc:
        raise TrainingError(
            f"initial weights {weights} are not those of VGG16's 13 convolutions; "
            f"use {TORCHVISION_WEIGHTS} or a safetensors file with its names"
        ) from exc
    return network


def _of_torchvision() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights  # noqa: PLC0415 - only these weights need it

    try:
        return dict(VGG16_Weights.IMAGENET1K_FEATURES.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as exc:
        raise TrainingError(
            f"torchvision's weights can't be fetched ({exc}); "
            "give --initial-weights a safetensors file instead"
        ) from exc


def _of_file(file: str | Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise TrainingError(
            f"no initial weights at {file}; give --initial-weights a safetensors file or {TORCHVISION_WEIGHTS}"
        ) from None
    except (SafetensorError, OSError) as exc:
        raise TrainingError(f"initial weights {file} can't be read ({exc}); fetch them again") from exc
