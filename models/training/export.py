"""From a finished run to a model bundle: every stage's tensors, manifest, evaluation, card (``card.md.jinja``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from safetensors.torch import save_file

from splitwire.models import paper
from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.errors import TrainingError
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.evaluate import (
    SAE,
    AutoencoderComparison,
    compare_autoencoders,
    evaluate_bundle,
)
from splitwire.models.training.painting.paintings import PAINTINGS, SHEET
from splitwire.models.training.provenance import PROVENANCE, provenance_of
from splitwire.models.training.run import Run
from splitwire.models.training.stages.features import FeatureStage
from splitwire.models.training.stages.stage import AnyStage, Draft, Earlier
from splitwire.models.vgg16 import FEATURE_SHAPE
from splitwire.shared.bundle import ID, MANIFEST, Files, Manifest
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import BASE, EVALUATION, Evaluation

TORCHVISION_ORIGIN = (
    "torchvision's VGG16_Weights.IMAGENET1K_FEATURES (BSD-3-Clause), made from the VGG16 of Karen Simonyan and "
    "Andrew Zisserman (Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014; CC BY 4.0)."
)
CIFAR10_ORIGIN = (
    "CIFAR-10 (Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009), published for "
    "research by the University of Toronto without a stated licence."
)


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where a bundle comes from, and under which licences: a sentence each."""

    weights: str
    data: str


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


def model_card(
    run: Run,
    manifest: Manifest,
    evaluation: Evaluation,
    comparison: AutoencoderComparison | None,
    sizes: Mapping[str, int],
    origins: Origins,
) -> str:
    """Write the card as Markdown; every figure in it was measured or is a setting."""
    stages = tuple(filter(run.has_ended, run.needed))
    trains: dict[str, list[str]] = {}
    for stage in stages:
        trains.setdefault(stage.what, []).append(f"`{stage.name}`")
    environment = jinja2.Environment(  # noqa: S701 - Markdown, not HTML
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("card.md.jinja").render(
        manifest=manifest,
        evaluation=evaluation,
        beside_paper=_beside_paper(evaluation, manifest.classes),
        comparison=comparison,
        trained=run.result(run.pipeline.backbone),
        trains=trains,
        names=[stage.name for stage in stages],
        recipe=_recipe(run, stages),
        seed=run.seed,
        sizes=sizes,
        origins=origins,
    )


def _recipe(run: Run, stages: Sequence[AnyStage]) -> dict[str, list[str]]:
    """Tabulate every setting of some stages, then how they ended: rows with a cell a stage."""
    settings, ends = list[dict[str, object]](), list[dict[str, object]]()
    for stage in stages:
        result = run.result(stage)
        variants = {"variants": result.data.variants, "plain": result.data.plain}
        settings.append({**result.settings, **(variants if isinstance(stage, FeatureStage) else {})})
        ends.append(
            {
                "training pictures": f"{result.training_pictures:,}",
                "accuracy on held-out pictures": f"{result.held_out_accuracy:.2%}",
                "hours": f"{result.hours:.2f}",
                "computed on": result.compute,
            }
        )
    return {
        name.replace("_", " "): [_cell(column.get(name)) for column in columns]
        for columns in (settings, ends)
        for name in dict.fromkeys(name for column in columns for name in column)
    }


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "-".join(map(str, value))
    return "" if value is None else str(value)


def _beside_paper(evaluation: Evaluation, classes: tuple[str, ...]) -> dict[str, list[str]]:
    """Set the paper's table 1 beside ours, where the classes are the same."""
    if set(classes) != set(paper.ACCURACY):
        return {}
    base, coded = evaluation.scores[BASE], evaluation.scores["paper"]
    ours = {name: (base.by_class[name].value, coded.by_class[name].value) for name in classes}
    ours["all"] = (base.accuracy.value, coded.accuracy.value)
    papers = {**paper.ACCURACY, "all": paper.AVERAGE_ACCURACY}
    rows = {}
    for name, (without, coded_share) in ours.items():
        papers_without, papers_coded = papers[name]
        rows[name] = [
            f"{without:.1%}",
            f"{coded_share:.1%}",
            f"{100 * (coded_share - without):+.1f}",
            f"{papers_without:g}%",
            f"{papers_coded:g}%",
            f"{papers_coded - papers_without:+.1f}",
        ]
    return rows
