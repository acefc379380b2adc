"""What a bundle says of its training, and a run that goes on from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from splitwire.models.device import Compute
from splitwire.models.errors import TrainingError
from splitwire.models.graph import read_weights
from splitwire.models.training.pipeline import Preset, pipeline
from splitwire.models.training.run import Run, RunSettings, begin_run
from splitwire.models.training.stages.stage import StageResult
from splitwire.shared.bundle import load_bundle

PROVENANCE = "training.json"


class Provenance(BaseModel):
    """The settings of a bundle's training, and how each stage ended."""

    model_config = ConfigDict(frozen=True)

    preset: Preset
    results: dict[str, StageResult]


def provenance_of(run: Run) -> Provenance:
    """Collect what a bundle says of its run."""
    ended = filter(run.has_ended, (*run.needed, run.pipeline.sae))
    return Provenance(preset=run.settings.preset, results={stage.name: run.result(stage) for stage in ended})


def run_of_bundle(
    folder: Path, bundle: Path, data: Path, initial_weights: str, compute: Compute, changes: Iterable[str]
) -> Run:
    """Begin a run in which what a bundle holds has ended, in the float16 that it has there.

    Networks that are in no bundle (teacher, SAE, a backbone that was fine-tuned) are not in the run.
    """
    device, cloud = load_bundle(bundle, "device"), load_bundle(bundle, "cloud")
    weights = read_weights(device.graph())
    try:
        provenance = Provenance.model_validate_json((bundle / PROVENANCE).read_bytes())
    except (FileNotFoundError, ValidationError) as exc:
        raise TrainingError(f"{bundle / PROVENANCE} is absent or damaged; begin a run from a preset") from exc
    settings = RunSettings(
        preset=provenance.preset.changed(changes),
        network=device.manifest.network.name,
        cut=device.manifest.network.cut,
        preparation=device.manifest.preparation,
        data=str(data.resolve()),
        initial_weights=initial_weights,
        bundle=device.manifest.id,
    )
    run = begin_run(folder, compute, settings, resume=False)
    earlier = pipeline(provenance.preset, run.pipeline.backbone.architecture)
    stages = [stage for stage in earlier.stages if stage.name in provenance.results]
    for stage in run.pipeline.stages:
        run.forget(stage)
    for stage in stages:
        network = run.untrained(stage, len(device.manifest.classes)) if stage.in_bundle else None
        if network:
            stage.restore(network, weights, cloud)
        run.end(stage, network, provenance.results[stage.name])
    return run
