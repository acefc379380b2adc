"""What a bundle says of its training, and a run that goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from splitwire.models.errors import TrainingError
from splitwire.models.loading import filled
from splitwire.models.training.run import Run, RunSettings, StageResult, begin_run
from splitwire.models.training.settings import Preset
from splitwire.models.training.stages.autoencoder import build_autoencoder
from splitwire.models.training.stages.fallback import build_fallback
from splitwire.shared.bundle import (
    ANALYSIS,
    CLASSIFIER,
    CONVOLUTIONS,
    DECODER,
    ENCODER,
    FALLBACK,
    SYNTHESIS,
    load_bundle,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import nn

    from splitwire.models.training.fitting.device import Compute
    from splitwire.models.training.stages.qualities import LearnedQuality
    from splitwire.shared.bundle import Bundle

RECORD = "training.json"


class TrainingRecord(BaseModel):
    """The settings of a bundle's training, and how each stage ended."""

    model_config = ConfigDict(frozen=True)

    preset: Preset
    results: dict[str, StageResult]


def record_of(run: Run) -> TrainingRecord:
    """Collect what a bundle says of its run."""
    preset = run.settings.preset
    stages = filter(run.has_ended, (*preset.stages, "sae"))
    return TrainingRecord(preset=preset, results={stage: run.result(stage) for stage in stages})


def run_of_bundle(
    folder: Path, bundle: Path, data: Path, initial_weights: str, compute: Compute, changes: Iterable[str]
) -> Run:
    """Begin a run in which what a bundle holds has ended, in the float16 that it has there.

    Networks that are in no bundle (teacher, SAE, a backbone that was fine-tuned) are not in the run.

    Raises:
        BundleError: the bundle can't be used.
        TrainingError: it has no record of its training.
        SettingsError: a changed setting is not allowed.

    """
    device, cloud = load_bundle(bundle, "device"), load_bundle(bundle, "cloud")
    try:
        record = TrainingRecord.model_validate_json((bundle / RECORD).read_bytes())
    except (FileNotFoundError, ValidationError) as exc:
        raise TrainingError(f"{bundle / RECORD} is absent or damaged; begin a run from a preset") from exc
    settings = RunSettings(
        preset=record.preset.changed(changes),
        preparation=device.manifest.preparation,
        data=str(data.resolve()),
        initial_weights=initial_weights,
    )
    run = begin_run(folder, compute, settings, resume=False)
    manifest = device.manifest
    backbone = run.untrained_backbone(len(manifest.classes))
    autoencoder = build_autoencoder("cae", run.seed)
    fallback = build_fallback(settings.preset.fallback, len(manifest.classes), run.seed)
    filled(backbone.convolutions, CONVOLUTIONS, device, None)
    filled(backbone.classifier, CLASSIFIER, cloud, None)
    filled(autoencoder.encoder, ENCODER, device, "paper")
    filled(autoencoder.decoder, DECODER, cloud, "paper")
    if "fallback" in record.results:
        filled(fallback.layers, FALLBACK, device, None)
    held: dict[str, dict[str, nn.Module]] = {
        run.last_backbone_stage: {"convolutions": backbone.convolutions, "classifier": backbone.classifier},
        "fallback": {"fallback": fallback},
        "cae": {"encoder": autoencoder.encoder, "decoder": autoencoder.decoder},
    }
    for stage, result in record.results.items():
        if stage in manifest.qualities:
            held[stage] = {"quality": _filled_quality(run.new_quality(stage), stage, device, cloud)}
        run.end_stage(stage, held.get(stage, {}), result)
    return run


def _filled_quality(quality: LearnedQuality, name: str, device: Bundle, cloud: Bundle) -> LearnedQuality:
    """Fill all but the prior, which only training needs: a bundle has tables instead."""
    filled(quality.encoder, ENCODER, device, name)
    filled(quality.bottleneck.analysis, ANALYSIS, device, name)
    filled(quality.bottleneck.synthesis, SYNTHESIS, cloud, name)
    filled(quality.decoder, DECODER, cloud, name)
    return quality
