"""The pipeline of a run: what a preset asks of every stage, and the list of stages made from it.

A new stage is a class in ``stages/``, a field of ``Preset`` for its settings, and a line in ``pipeline``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from splitwire.models.training.stages.backbone import (
    AT_CUT,
    Architecture,
    BackboneSettings,
    BackboneStage,
    FinetuneSettings,
)
from splitwire.models.training.stages.features import (
    AutoencoderSettings,
    AutoencoderStage,
    FallbackSettings,
    FallbackStage,
    FullyConnectedStage,
)
from splitwire.models.training.stages.qualities import QualitySettings, QualityStage
from splitwire.models.training.stages.stage import AnyStage, DataSettings, Settings
from splitwire.models.training.stages.teacher import TeacherSettings, TeacherStage
from splitwire.shared.errors import SettingsError

PresetName = Literal["small", "shipped", "paper", "full"]


_LADDER = {
    "q1": QualitySettings(numbers=16, payload_bytes=6.4),
    "q2": QualitySettings(numbers=24, payload_bytes=9.5, epochs=10),
    "q3": QualitySettings(numbers=48, payload_bytes=21, epochs=10),
}


class Preset(Settings):
    """One choice for all stages."""

    data: DataSettings
    teacher: TeacherSettings = TeacherSettings()
    backbone: BackboneSettings
    finetune: FinetuneSettings | None = None
    fallback: FallbackSettings = FallbackSettings()
    cae: AutoencoderSettings = AutoencoderSettings()
    sae: AutoencoderSettings = AutoencoderSettings(epochs=10, batch=256, rate=2e-4)
    qualities: dict[Annotated[str, Field(pattern=r"^q[0-9]+$")], QualitySettings] = _LADDER

    def changed(self, changes: Iterable[str]) -> Preset:
        """Return a copy with some settings replaced, each given as ``stage.name=value``."""
        values = self.model_dump()
        qualities = values["qualities"]
        for change in changes:
            path, equals, text = change.partition("=")
            stage, _, name = path.partition(".")
            if not (equals and name and stage in ("data", *STAGES, *qualities)):
                known = ", ".join(("data", *STAGES, *qualities))
                raise SettingsError(f"{change!r} is no STAGE.NAME=VALUE; the stages are {known}")
            settings = qualities if stage in qualities else values
            settings[stage] = {**(settings[stage] or {}), name: text}
        try:
            return Preset.model_validate(values)
        except ValidationError as exc:
            first = exc.errors()[0]
            setting = ".".join(str(part) for part in first["loc"])
            value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
            raise SettingsError(f"setting {setting}{value}: {first['msg'].lower()}") from exc


STAGES = tuple(name for name in Preset.model_fields if name not in {"data", "qualities"})
"""All but the learned qualities, whose names are the preset's."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The stages of a run in the order of their training, and those of them that others have to find.

    ``backbone``: the stage whose network counts. ``qualities``: with fewer bytes first.
    """

    stages: tuple[AnyStage, ...]
    backbone: BackboneStage
    fallback: FallbackStage
    cae: AutoencoderStage
    qualities: tuple[QualityStage, ...]
    sae: AutoencoderStage


def pipeline(preset: Preset, architecture: Architecture) -> Pipeline:
    """Make the stages that a preset has, of a network."""
    taught = any(settings.soft_labels for settings in (preset.backbone, preset.finetune) if settings)
    teacher = TeacherStage(name="teacher", settings=preset.teacher, for_bundle=taught)
    backbone = BackboneStage(
        name="backbone",
        settings=preset.backbone,
        architecture=architecture,
        teacher=teacher,
        in_bundle=preset.finetune is None,
    )
    trained = [backbone]
    if preset.finetune:
        backbone = replace(
            backbone, name="finetune", settings=preset.finetune, before=backbone, in_bundle=True
        )
        trained.append(backbone)
    fallback = FallbackStage(name="fallback", settings=preset.fallback, backbone=backbone)
    cae = AutoencoderStage(name="cae", settings=preset.cae, backbone=backbone)
    ladder = sorted(preset.qualities.items(), key=lambda quality: quality[1].payload_bytes)
    qualities = tuple(
        QualityStage(name=name, settings=settings, backbone=backbone, cae=cae) for name, settings in ladder
    )
    sae = FullyConnectedStage(name="sae", settings=preset.sae, backbone=backbone)
    return Pipeline(
        stages=(teacher, *trained, fallback, cae, *qualities, sae),
        backbone=backbone,
        fallback=fallback,
        cae=cae,
        qualities=qualities,
        sae=sae,
    )


_PAPERS_AUTOENCODER = AutoencoderSettings(epochs=10, batch=4, rate=1e-4, schedule="constant")

PRESETS: dict[PresetName, Preset] = {
    "small": Preset(
        data=DataSettings(pictures=12_500, variants=0),
        backbone=BackboneSettings(frozen=AT_CUT, least_steps=3000, schedule="plateau", classifier_rate=1e-4),
        fallback=FallbackSettings(hidden=(), batch=64, least_steps=2000, schedule="plateau", rate=2e-3),
        cae=AutoencoderSettings(epochs=5, least_steps=1000, answer_weight=1.0),
        qualities={
            name: settings.model_copy(update={"epochs": 5, "least_steps": 1000, "batch": 32})
            for name, settings in _LADDER.items()
        },
    ),
    "shipped": Preset(
        data=DataSettings(),
        backbone=BackboneSettings(frozen="features.16", epochs=4, batch=64, rate=5e-5, classifier_rate=3e-4),
        finetune=FinetuneSettings(),
        cae=AutoencoderSettings(epochs=16),
        sae=AutoencoderSettings(epochs=5, batch=256, rate=2e-4),
    ),
    "paper": Preset(
        data=DataSettings(pictures=12_500),
        backbone=BackboneSettings(
            frozen="",
            hidden=(4096, 4096),
            epochs=100,
            batch=4,
            rate=1e-5,
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
            frozen="",
            epochs=20,
            batch=128,
            rate=1e-4,
            classifier_rate=3e-4,
            mirrored=True,
            shift=4,
            soft_labels=0.5,
        ),
    ),
}
"""``small``: pictures in folders, on two cores in minutes: the network stays as it is, and what it makes of pictures, each
changed several times, is computed once. ``shipped``: what made the shipped bundle, but for its teacher, which was another.
``paper``: the paper's rates, batch and epochs. ``full``: every layer, for a GPU."""
