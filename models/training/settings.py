"""Settings that all training stages share; what only one stage is asked for stands beside it in ``stages/``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

Schedule = Literal["constant", "one-cycle"]


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(_split)]
"""Sizes of layers; as a string: 512,512."""


class Settings(BaseModel):
    """Settings that don't change, and have no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """Which pictures are used.

    ``pictures``: for training, chosen evenly from the classes; 0: all that are not held out.
    ``held_out``: training pictures set aside to measure progress on; the test pictures choose nothing.
    ``variants``: features of each picture for the stages after the convolutions, each of the picture mirrored and
    moved at random; ``plain``: the first one is of the picture as it is.
    """

    pictures: int = Field(default=0, ge=0)
    held_out: int = Field(default=2500, gt=0)
    variants: int = Field(default=1, gt=0)
    plain: bool = True
    seed: int = Field(default=0, ge=0)


class StageSettings(Settings):
    """What every stage has: passes over the pictures, pictures a step, course of the rate."""

    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    schedule: Schedule = "one-cycle"
