"""What a bundle says of its training, and a run that goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from models.fallback import Fallback
from models.loading import FALLBACK, load_convolutions, load_encoder, load_tails
from models.training.run import Run, RunSettings, StageResult, begin_run
from models.training.settings import Preset
from shared.bundle import load_bundle
from shared.codecs.factorised import ANALYSIS, SYNTHESIS
from shared.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor, nn

    from models.training.device import Compute
    from shared.bundle import Bundle

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
    tails = load_tails(cloud)
    learned = [name for name in record.preset.qualities if name in device.manifest.qualities]
    held: dict[str, dict[str, nn.Module]] = {
        run.last_backbone_stage: {
            "convolutions": load_convolutions(device),
            "classifier": tails["paper"].classifier,
        },
        "fallback": {"fallback": _fallback(run, device)},
        "cae": {"encoder": load_encoder(device, "paper"), "decoder": tails["paper"].decoder},
    }
    for stage, result in record.results.items():
        if stage in learned:
            continue
        run.end_stage(stage, held.get(stage, {}), result)
    for name in learned:
        quality = run.new_quality(name)
        quality.encoder.load_state_dict(load_encoder(device, name).state_dict())
        quality.decoder.load_state_dict(tails[name].decoder.state_dict())
        quality.bottleneck.analysis.load_state_dict(_tensors(device, name, ANALYSIS))
        quality.bottleneck.synthesis.load_state_dict(_tensors(cloud, name, SYNTHESIS))
        run.end_stage(name, {"quality": quality}, record.results[name])
    return run


def _fallback(run: Run, bundle: Bundle) -> Fallback:
    fallback = Fallback(len(bundle.manifest.classes), run.settings.preset.fallback.hidden)
    shared = (bundle.tensors[file] for file in bundle.manifest.files.device)
    prefix = f"{FALLBACK}."
    fallback.layers.load_state_dict(
        {
            name.removeprefix(prefix): torch.from_numpy(values).float()
            for tensors in shared
            for name, values in tensors.items()
            if name.startswith(prefix)
        }
    )
    return fallback


def _tensors(bundle: Bundle, quality: str, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): torch.from_numpy(values).float()
        for name, values in bundle.tensors_of(quality).items()
        if name.startswith(f"{prefix}.")
    }
