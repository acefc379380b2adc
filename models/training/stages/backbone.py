"""Stages ``backbone`` and ``finetune``: the whole network, by cross-entropy.

picture ──frozen──> ──trained──> logits
         └── cached, where pictures are not changed at random
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from splitwire.models.cuts import Cut, cuts, find_cut, split
from splitwire.models.device import Compute
from splitwire.models.loading import fill, tensors_of
from splitwire.models.networks import build, head_names, load_initial_weights
from splitwire.models.training.data.batches import (
    AugmentedBatches,
    Batches,
    DrawnBatches,
    Enlarge,
    Parts,
    PictureBatches,
    augmented_side,
)
from splitwire.models.training.data.cache import CachedBatches, Frozen
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.stages.stage import (
    AnyStage,
    CacheSizes,
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
from splitwire.shared.bundle import Bundle, NetworkSpec
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from splitwire.models.training.run import Run

AT_CUT = "cut"
"""Instead of a place's name: the whole part of the device is frozen."""
_SHIFT = 4


class NetworkSettings(StageSettings):
    """A stage that trains the network, by cross-entropy.

    ``frozen``: the place in the network (as ``cuts`` lists them) up to which weights are kept; ``cut``: where it is cut;
    none: nowhere. ``rate``: of pre-trained weights, ``classifier_rate`` of those that depend on the classes; both Adam's
    (its decoupled form, where ``weight_decay`` > 0). ``mirrored``: each picture is, in every
    other epoch; ``shift``: how far they are moved at most, pixels of small pictures, 32nds of the side of others;
    ``crop``: above 0, parts of at least this share of the area are seen instead, for large pictures. Without all, the
    output of frozen layers is computed once and cached. ``soft_labels``: the teacher's share in what
    is learned; the rest is the class, smoothed.
    """

    frozen: str
    rate: float = Field(gt=0)
    classifier_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    mirrored: bool = False
    shift: int = Field(default=0, ge=0, lt=32)
    crop: float = Field(default=0.0, ge=0, lt=1)
    soft_labels: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _teacher_sees_pictures(self) -> Self:
        if self.soft_labels and not self.augmented:
            raise ValueError("soft labels want changed pictures: set mirrored, shift or crop")
        return self

    @property
    def augmented(self) -> bool:
        """Tell whether pictures are changed at random, so that nothing can be cached."""
        return self.mirrored or self.shift > 0 or self.crop > 0


class BackboneSettings(NetworkSettings):
    """The first stage, from the initial weights and a fresh classifier.

    ``hidden``: widths of the layers of the paper's classifier; other networks have their own. ``dropout``: before or in it.
    """

    frozen: str = "features.23"
    hidden: Widths = (512, 512)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    epochs: int = Field(default=3, gt=0)
    batch: int = Field(default=32, gt=0)
    rate: float = Field(default=3e-5, gt=0)
    classifier_rate: float = Field(default=2e-4, gt=0)


class FinetuneSettings(NetworkSettings):
    """The second stage, from where the first one ended: fewer frozen layers, changed pictures, a teacher."""

    frozen: str = "features.9"
    epochs: int = Field(default=2, gt=0)
    batch: int = Field(default=64, gt=0)
    rate: float = Field(default=7e-5, gt=0)
    classifier_rate: float = Field(default=2e-4, gt=0)
    mirrored: bool = True
    shift: int = Field(default=4, ge=0)
    soft_labels: float = Field(default=0.5, ge=0, le=1)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network by name, where it is cut, and the side of the pictures that it takes."""

    spec: NetworkSpec
    size: int
    dropout: float = 0.0

    def build(self, classes: int) -> nn.Module:
        """Build it with random weights."""
        return build(self.spec, classes, dropout=self.dropout)

    def place(self, name: str) -> Cut:
        """Describe a place in it.

        Raises:
            SettingsError: it can't be cut there.

        """
        with torch.device("meta"):
            network = self.build(2)
        return find_cut(network, (3, self.size, self.size), self.spec.cut if name == AT_CUT else name)

    @cached_property
    def cut(self) -> Cut:
        """Describe the place where it is cut."""
        return self.place(AT_CUT)


def default_cut(network: str, size: int) -> str:
    """Choose the place of a network where the smallest maps cross; of equal ones the last.

    Raises:
        SettingsError: it has none.

    """
    with torch.device("meta"):
        built = build(NetworkSpec(name=network, cut="none yet"), 2)
    found = [cut for cut in cuts(built, (3, size, size)) if len(cut.shape) == 3]
    if not found:
        raise SettingsError(
            f"network {network} has no cut with channels, rows and columns; name one with --cut"
        )
    return min(reversed(found), key=lambda cut: cut.elements).name


class Backbone(nn.Module):
    """A whole network and where it is cut: pictures [N, 3, size, size] to logits [N, classes]."""

    def __init__(self, network: nn.Module, cut: str) -> None:
        super().__init__()
        self.network = network
        self._cut = cut

    def forward(self, pictures: Tensor) -> Tensor:
        """Picture to logits."""
        logits: Tensor = self.network(pictures)
        return logits

    def until(self, place: str = AT_CUT) -> nn.Module:
        """Share all that leads to a place: pictures to what crosses it."""
        return split(self.network, self._cut if place == AT_CUT else place)[0]

    def after(self, place: str = AT_CUT) -> nn.Module:
        """Share all that follows a place; none: everything."""
        return split(self.network, self._cut if place == AT_CUT else place)[1] if place else self.network


@dataclass(frozen=True, kw_only=True)
class BackboneStage(Stage[Backbone]):
    """Sees pictures: changed at random, or what the frozen layers make of them.

    ``before``: the stage that it goes on from; None: it starts from the initial weights.
    """

    settings: NetworkSettings
    architecture: Architecture
    teacher: TeacherStage
    before: BackboneStage | None = None
    what = "the network after its frozen layers, by cross-entropy; Adam"

    @property
    def needs(self) -> tuple[AnyStage, ...]:
        teacher = (self.teacher,) if self.settings.soft_labels else ()
        return (*teacher, self.before) if self.before else teacher

    def build(self, classes: int) -> Backbone:
        return Backbone(self.architecture.build(classes), self.architecture.spec.cut)

    def start(self, network: Backbone, run: Run, earlier: Earlier) -> None:
        if self.before:
            network.load_state_dict(earlier[self.before].state_dict())
        else:
            load_initial_weights(network.network, self.architecture.spec.name, run.settings.initial_weights)

    def inputs(self, network: Backbone, run: Run, earlier: Earlier) -> Parts[Batches]:
        settings, preparation = self.settings, run.settings.preparation
        if settings.frozen == AT_CUT and not settings.augmented:
            return features(run, network)

        def prepared(pictures: Pictures, part: str) -> Batches:
            batches = PictureBatches(pictures, preparation)
            if not settings.frozen:
                return batches
            return run.cached(f"frozen-{part}", Frozen(network.until(settings.frozen)), batches)

        training: Batches
        if settings.augmented:
            training = AugmentedBatches(
                run.pictures.training,
                preparation,
                run.compute.device,
                mirrored=settings.mirrored,
                shift=settings.shift,
                crop=settings.crop,
            )
        else:
            training = prepared(run.pictures.training, "training")
        return Parts(training=training, held_out=prepared(run.pictures.held_out, "held-out"))

    def to_train(self, network: Backbone, run: Run) -> nn.Module:
        frozen = self.settings.frozen
        following = network.after(frozen)
        if not self.settings.augmented:
            return following
        before = [Frozen(network.until(frozen))] if frozen else []
        return nn.Sequential(Enlarge(run.settings.preparation), *before, following)

    def optimizer(self, network: Backbone) -> Optimizer:
        settings, fresh = self.settings, head_names(self.architecture.spec.name)
        trained = dict(network.after(settings.frozen).named_parameters())
        groups = [
            {
                "params": [value for name, value in trained.items() if name.startswith(fresh) == new],
                "lr": rate,
            }
            for new, rate in ((False, settings.rate), (True, settings.classifier_rate))
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
        return measure(network.after(self.settings.frozen).eval(), held_out, compute)

    def sizes(self, run: Run) -> InputSizes:
        settings, pictures = self.settings, run.pictures
        if settings.frozen == AT_CUT and not settings.augmented:
            return feature_sizes(run, self.architecture)
        side = augmented_side(pictures.training, run.settings.preparation)
        size, cached = self.architecture.size, None
        shape: tuple[int, ...] = (3, side, side) if settings.augmented else (3, size, size)
        if settings.frozen:
            place = self.architecture.place(settings.frozen)
            shape = shape if settings.augmented else place.shape
            count = len(pictures.held_out) + (0 if settings.augmented else len(pictures.training))
            cached = CacheSizes(name="frozen", place=settings.frozen, shape=place.shape, count=count)
        return InputSizes(shape=shape, count=len(pictures.training), cached=cached)

    def export(self, network: Backbone, draft: Draft) -> None:
        draft.front = network.until()
        draft.tail.append(draft.add("cloud/tail.safetensors", {"": network.after()}))

    def restore(self, network: Backbone, device: Mapping[str, Tensor], cloud: Bundle) -> None:
        front, back = network.until(), network.after()
        fill(front, {name: device[name] for name in front.state_dict() if name in device}, cloud)
        fill(back, tensors_of(cloud, cloud.manifest.tail), cloud)
        network.network.load_state_dict({**front.state_dict(), **back.state_dict()}, assign=True)


def features(run: Run, backbone: Backbone) -> Parts[Batches]:
    """Compute what crosses the cut, once: of training pictures in the variants that the run has, and of held-out ones."""
    data, preparation = run.settings.preset.data, run.settings.preparation
    front, pictures = Frozen(backbone.until()), run.pictures
    held_out = plain_features(run, pictures.held_out, backbone, "held-out")
    times = data.times(len(pictures.training))
    if data.plain and times == 1:
        return Parts(training=plain_features(run, pictures.training, backbone, "training"), held_out=held_out)
    pixels = AugmentedBatches(pictures.training, preparation, run.compute.device, mirrored=True, shift=_SHIFT)
    drawn = DrawnBatches(pixels, preparation, times, run.seed, plain=data.plain)
    return Parts(training=run.cached("features-training", front, drawn), held_out=held_out)


def plain_features(run: Run, pictures: Pictures, backbone: Backbone, part: str) -> CachedBatches:
    """Compute what crosses the cut, of pictures as they are, once: [N, *feature_shape]."""
    batches = PictureBatches(pictures, run.settings.preparation)
    return run.cached(f"features-{part}", Frozen(backbone.until()), batches)


def feature_sizes(run: Run, architecture: Architecture) -> InputSizes:
    """Tell what ``features`` will give."""
    count = len(run.pictures.training)
    count *= run.settings.preset.data.times(count)
    shape = architecture.cut.shape
    cached = CacheSizes(name="features", place=AT_CUT, shape=shape, count=count + len(run.pictures.held_out))
    return InputSizes(shape=shape, count=count, cached=cached)
