"""Typed settings of the training stages, and the two presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

Schedule = Literal["constant", "one-cycle"]
AutoencoderKind = Literal["cae", "sae"]
PresetName = Literal["cached", "paper"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(_Settings):
    """Which pictures are used.

    ``pictures``: for training, chosen evenly from the classes; 0: all that are not held out.
    ``held_out``: training pictures set aside to measure progress on; the test pictures choose nothing.
    ``mirrored``: each picture is seen as it is or mirrored, at random.
    """

    pictures: int = Field(default=0, ge=0)
    held_out: int = Field(default=2500, gt=0)
    mirrored: bool = False
    seed: int = Field(default=0, ge=0)


class StageSettings(_Settings):
    """What every stage has: passes over the pictures, pictures a step, course of the rate."""

    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    schedule: Schedule = "one-cycle"


class BackboneSettings(StageSettings):
    """The first stage: convolutions and classifier, cross-entropy.

    ``frozen_blocks``: of VGG16's five, how many keep their initial weights; their output is
    computed once and cached. Rates are Adam's (its decoupled form, where ``weight_decay`` > 0).
    """

    frozen_blocks: int = Field(default=4, ge=0, le=5)
    hidden: tuple[PositiveInt, ...] = (512, 512)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    epochs: int = Field(default=3, gt=0)
    batch: int = Field(default=32, gt=0)
    convolution_rate: float = Field(default=3e-5, gt=0)
    classifier_rate: float = Field(default=2e-4, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)


class AutoencoderSettings(StageSettings):
    """The second stage: only the autoencoder, mean squared error, Adam."""

    kind: AutoencoderKind = "cae"
    epochs: int = Field(default=20, gt=0)
    batch: int = Field(default=64, gt=0)
    rate: float = Field(default=1e-3, gt=0)


class Preset(_Settings):
    """One choice for all stages."""

    data: DataSettings
    backbone: BackboneSettings
    autoencoder: AutoencoderSettings

    def changed(self, **stages: Mapping[str, object]) -> Preset:
        """Return a copy with some settings replaced; None leaves one as it is.

        Raises:
            SettingsError: a value is not allowed.

        """
        values = self.model_dump()
        for stage, changes in stages.items():
            values[stage].update({name: value for name, value in changes.items() if value is not None})
        try:
            return Preset.model_validate(values)
        except ValidationError as exc:
            first = exc.errors()[0]
            setting = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"setting {setting} = {first['input']!r}: {first['msg'].lower()}") from exc


PRESETS: dict[PresetName, Preset] = {
    "cached": Preset(
        data=DataSettings(pictures=12_500),
        backbone=BackboneSettings(),
        autoencoder=AutoencoderSettings(),
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
        autoencoder=AutoencoderSettings(epochs=10, batch=4, rate=1e-4, schedule="constant"),
    ),
}
"""``cached``: small machines. ``paper``: the paper's rates, batch and epochs, for a GPU."""
