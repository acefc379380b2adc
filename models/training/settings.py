"""Typed settings of the training stages, and the presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, ValidationError

from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

Schedule = Literal["constant", "one-cycle"]
PresetName = Literal["cached", "shipped", "paper", "full"]

STAGES = ("teacher", "backbone", "finetune", "fallback", "cae", "sae")
"""All but the learned qualities, whose names are the preset's."""


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(_split)]
"""Sizes of layers; as a string: 512,512."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(_Settings):
    """Which pictures are used.

    ``pictures``: for training, chosen evenly from the classes; 0: all that are not held out.
    ``held_out``: training pictures set aside to measure progress on; the test pictures choose nothing.
    ``variants``: how often a picture's feature is computed for the stages after the convolutions, each time
    of the picture mirrored and moved at random; ``plain``: but the first time as it is.
    """

    pictures: int = Field(default=0, ge=0)
    held_out: int = Field(default=2500, gt=0)
    variants: int = Field(default=1, gt=0)
    plain: bool = True
    seed: int = Field(default=0, ge=0)


class StageSettings(_Settings):
    """What every stage has: passes over the pictures, pictures a step, course of the rate."""

    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    schedule: Schedule = "one-cycle"


class TeacherSettings(StageSettings):
    """The teacher of soft labels: cross-entropy, Nesterov's momentum.

    ``widths``: channels of its three groups. ``shift``: as in ``ConvolutionSettings``.
    """

    widths: Widths = (128, 384, 384)
    epochs: int = Field(default=12, gt=0)
    batch: int = Field(default=512, gt=0)
    rate: float = Field(default=0.4, gt=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    label_smoothing: float = Field(default=0.2, ge=0, lt=1)
    shift: int = Field(default=4, ge=0)


class ConvolutionSettings(StageSettings):
    """A stage that trains convolutions and classifier, by cross-entropy.

    ``frozen_blocks``: of VGG16's five, how many keep their weights. Rates are Adam's (its decoupled
    form, where ``weight_decay`` > 0). ``mirrored``: half of the pictures are, chosen anew in every
    epoch; ``shift``: by how many of their own pixels they are moved at most. Without both, the
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


class AutoencoderSettings(StageSettings):
    """A stage that trains only an autoencoder: mean squared error, Adam."""

    epochs: int = Field(default=20, gt=0)
    batch: int = Field(default=64, gt=0)
    rate: float = Field(default=1e-3, gt=0)


class FallbackSettings(StageSettings):
    """The device's own small classifier. ``hidden``: widths of its layers."""

    hidden: Widths = (128,)
    epochs: int = Field(default=5, gt=0)
    batch: int = Field(default=256, gt=0)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class QualitySettings(StageSettings):
    """A learned quality: CAE and bottleneck, for the task and the rate.

    ``numbers``: integers that a picture becomes; ``hidden``: widths of the layers before and, in
    reverse, after. Loss: divergence from the uncompressed network's answer (nats) + ``class_weight``
    x cross-entropy + ``rate_weight`` x the bits by which a batch's mean exceeds ``payload_bytes``. ``mixup``:
    concentration of the shares in which features are mixed, but for a share of them that is ``unmixed``; 0: none is
    mixed. ``seed`` is added to the run's.
    """

    numbers: int = Field(gt=0, le=128)
    hidden: Widths = (256,)
    payload_bytes: float = Field(gt=0)
    rate_weight: float = Field(default=0.01, ge=0)
    class_weight: float = Field(default=0.1, ge=0)
    mixup: float = Field(default=1.0, ge=0)
    unmixed: float = Field(default=0.5, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=5, gt=0)
    batch: int = Field(default=128, gt=0)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)


FeatureSettings = FallbackSettings | AutoencoderSettings | QualitySettings
"""Of stages that see the output of all convolutions."""

AnySettings = TeacherSettings | ConvolutionSettings | FeatureSettings

_LADDER = {
    "q1": QualitySettings(numbers=16, payload_bytes=6.4),
    "q2": QualitySettings(numbers=24, payload_bytes=9.5, epochs=10),
    "q3": QualitySettings(numbers=48, payload_bytes=21, epochs=10),
}


class Preset(_Settings):
    """One choice for all stages."""

    data: DataSettings
    teacher: TeacherSettings = TeacherSettings()
    backbone: BackboneSettings
    finetune: FinetuneSettings | None = None
    fallback: FallbackSettings = FallbackSettings()
    cae: AutoencoderSettings = AutoencoderSettings()
    sae: AutoencoderSettings = AutoencoderSettings(epochs=10, batch=256, rate=2e-4)
    qualities: dict[Annotated[str, Field(pattern=r"^q[0-9]+$")], QualitySettings] = _LADDER

    @property
    def stages(self) -> tuple[str, ...]:
        """What a bundle needs, in order."""
        trained = [self.backbone, *([self.finetune] if self.finetune else [])]
        taught = any(stage.soft_labels for stage in trained)
        return (
            *(("teacher",) if taught else ()),
            "backbone",
            *(("finetune",) if self.finetune else ()),
            "fallback",
            "cae",
            *self.qualities,
        )

    def settings_of(self, stage: str) -> AnySettings:
        """Look up what a stage is asked for.

        Raises:
            SettingsError: there is no such stage.

        """
        settings: AnySettings | None = self.qualities.get(stage)
        if stage in STAGES:
            settings = getattr(self, stage)
        if settings is None:
            known = ", ".join((*self.stages, "sae"))
            raise SettingsError(f"there is no stage {stage} in these settings; the stages are {known}")
        return settings

    def changed(self, changes: Iterable[str]) -> Preset:
        """Return a copy with some settings replaced, each given as ``stage.name=value``.

        Raises:
            SettingsError: there is no such setting, or the value is not allowed.

        """
        values = self.model_dump()
        qualities = values["qualities"]
        for change in changes:
            path, equals, text = change.partition("=")
            stage, _, name = path.partition(".")
            stages = qualities if stage in qualities else values
            if not (equals and name and stage in ("data", *STAGES, *qualities)):
                known = ", ".join(("data", *STAGES, *qualities))
                raise SettingsError(f"{change!r} is no STAGE.NAME=VALUE; the stages are {known}")
            stages[stage] = {**(stages[stage] or {}), name: text}
        try:
            return Preset.model_validate(values)
        except ValidationError as exc:
            first = exc.errors()[0]
            setting = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"setting {setting} = {first['input']!r}: {first['msg'].lower()}") from exc


_PAPERS_AUTOENCODER = AutoencoderSettings(epochs=10, batch=4, rate=1e-4, schedule="constant")

PRESETS: dict[PresetName, Preset] = {
    "cached": Preset(
        data=DataSettings(pictures=12_500),
        backbone=BackboneSettings(),
    ),
    "shipped": Preset(
        data=DataSettings(),
        backbone=BackboneSettings(
            frozen_blocks=3, epochs=4, batch=64, convolution_rate=5e-5, classifier_rate=3e-4
        ),
        finetune=FinetuneSettings(),
        cae=AutoencoderSettings(epochs=16),
        sae=AutoencoderSettings(epochs=5, batch=256, rate=2e-4),
    ),
    "paper": Preset(
        data=DataSettings(pictures=12_500),
        backbone=BackboneSettings(
            frozen_blocks=0,
            hidden=(4096, 4096),
            epochs=100,
            batch=4,
            convolution_rate=1e-5,
            classifier_rate=1e-5,
            weight_decay=0.0,
            label_smoothing=0.0,
            schedule="constant",
        ),
        cae=_PAPERS_AUTOENCODER,
        sae=_PAPERS_AUTOENCODER,
    ),
    "full": Preset(
        data=DataSettings(variants=2),
        backbone=BackboneSettings(
            frozen_blocks=0,
            epochs=20,
            batch=128,
            convolution_rate=1e-4,
            classifier_rate=3e-4,
            mirrored=True,
            shift=4,
            soft_labels=0.5,
        ),
    ),
}
"""``cached``: a first result on a small machine. ``shipped``: what made the shipped bundle.
``paper``: the paper's rates, batch and epochs. ``full``: every layer, for a GPU."""
