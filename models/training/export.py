"""From a finished run to a model bundle: every stage's tensors, manifest, evaluation, card."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors.torch import save_file

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.errors import TrainingError
from splitwire.models.training.card import Origins, model_card
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.evaluate import evaluate_bundle
from splitwire.models.training.painting.paintings import PAINTINGS, SHEET
from splitwire.models.training.provenance import PROVENANCE, provenance_of
from splitwire.models.training.run import Run
from splitwire.models.training.sae import SAE, compare_autoencoders
from splitwire.models.training.stages.stage import Draft, Earlier
from splitwire.models.vgg16 import FEATURE_SHAPE
from splitwire.shared.bundle import ID, MANIFEST, Files, Manifest
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import EVALUATION, Evaluation


def export_bundle(run: Run, folder: Path, test: Pictures, origins: Origins) -> Evaluation:
    """Write a bundle, measure it on test pictures, and write what was measured into it.

    Raises:
        TrainingError: a stage of the run has not ended yet, or the pictures can't be used.
        SettingsError: the folder's name can't be a bundle's id.

    """
    check_name(folder)
    for stage in filter(run.is_stale, run.needed):
        raise TrainingError(
            f"stage {stage.name} ended in {run.folder} with other settings, or on what was trained anew since; "
            f"train {stage.name} anew"
        )
    cae = run.pipeline.cae
    features = cae.inputs(run.trained(cae), run, Earlier(cae, run.trained)).training
    draft = Draft(features=features, compute=run.compute)
    for stage in run.needed:
        if stage.in_bundle and run.has_ended(stage):
            stage.export(run.trained(stage).to(run.compute.device), draft)
    for name, tensors in draft.tensors.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / name)
        (folder / name).chmod(0o644)
    manifest = Manifest(
        format=1,
        id=folder.name,
        classes=run.result(run.pipeline.backbone).classes,
        preparation=run.settings.preparation,
        feature_shape=FEATURE_SHAPE,
        latent_shape=LATENT_SHAPE,
        hidden=run.settings.preset.backbone.hidden,
        files=Files(device=tuple(draft.device), cloud=tuple(draft.cloud)),
        qualities=draft.qualities,
        default_quality="int8",
        sha256={name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in draft.tensors},
    ).sealed()
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    evaluation = evaluate_bundle(folder, test)
    (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2) + "\n")
    (folder / PROVENANCE).write_text(provenance_of(run).model_dump_json(indent=2) + "\n")
    comparison = None
    for earlier in (SAE, PAINTINGS, SHEET):
        (folder / earlier).unlink(missing_ok=True)
    if run.has_weights(run.pipeline.sae):
        comparison = compare_autoencoders(run, test)
        (folder / SAE).write_text(comparison.model_dump_json(indent=2) + "\n")
    sizes = {name: (folder / name).stat().st_size for name in draft.tensors}
    (folder / "README.md").write_text(model_card(run, manifest, evaluation, comparison, sizes, origins))
    return evaluation


def check_name(folder: Path) -> None:
    """Refuse a folder whose name can't be a bundle's id."""
    if not ID.fullmatch(folder.name):
        raise SettingsError(f"a bundle's name is lower-case letters, digits, . and -, not {folder.name!r}")
