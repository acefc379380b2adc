"""From a finished run to a model bundle: every stage's tensors, manifest, evaluation, card (``card.md.jinja``)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from safetensors.torch import save

from splitwire.models import paper
from splitwire.models.errors import TrainingError
from splitwire.models.graph import Exported, export_graph
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
from splitwire.models.training.stages.backbone import Architecture
from splitwire.models.training.stages.features import FeatureStage
from splitwire.models.training.stages.stage import AnyStage, Draft, Earlier
from splitwire.shared.bundle import (
    FORMAT,
    ID,
    MANIFEST,
    FileEntry,
    HeadFiles,
    Manifest,
    NetworkSpec,
    Quality,
)
from splitwire.shared.codecs.abc import ELEMENT_BYTES
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import BASE, EVALUATION, Evaluation, shown_classes
from splitwire.shared.frame import MAX_PAYLOAD_BYTES
from splitwire.shared.graph.reading import CLASSES
from splitwire.shared.pictures.loading import Preparation

TORCHVISION_ORIGIN = (
    "torchvision's VGG16_Weights.IMAGENET1K_FEATURES (BSD-3-Clause), made from the VGG16 of Karen Simonyan and "
    "Andrew Zisserman (Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014; CC BY 4.0)."
)
CIFAR10_ORIGIN = (
    "CIFAR-10 (Alex Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009), published for "
    "research by the University of Toronto without a stated licence."
)
NOT_STATED = "Their origin and licence are not stated."


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where a bundle comes from, and under which licences: a sentence each."""

    weights: str
    data: str


def export_bundle(
    run: Run, folder: Path, test: Pictures, origins: Origins, left_out: Collection[str] = ()
) -> Evaluation:
    """Write a bundle, measure it on test pictures, and write what was measured into it.

    ``left_out``: stages whose qualities it is not to have.

    Raises:
        TrainingError: a stage of the run has not ended yet, no quality is left, or the pictures can't be used.
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
        if stage.in_bundle and run.has_ended(stage) and stage.name not in left_out:
            stage.export(run.trained(stage).to(run.compute.device), draft)
    if not draft.qualities:
        raise TrainingError(
            "no quality answers as well as the device alone; train longer, on more pictures, or keep them "
            "with --all-qualities"
        )
    architecture, classes = run.pipeline.backbone.architecture, run.result(run.pipeline.backbone).classes
    manifest = write_bundle(draft, folder, architecture, run.settings.preparation, classes)
    evaluation = evaluate_bundle(folder, test)
    (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2) + "\n")
    (folder / PROVENANCE).write_text(provenance_of(run).model_dump_json(indent=2) + "\n")
    comparison = None
    for earlier in (SAE, PAINTINGS, SHEET):
        (folder / earlier).unlink(missing_ok=True)
    if run.has_weights(run.pipeline.sae):
        comparison = compare_autoencoders(run, test)
        (folder / SAE).write_text(comparison.model_dump_json(indent=2) + "\n")
    (folder / "README.md").write_text(model_card(run, manifest, evaluation, comparison, test.side, origins))
    return evaluation


def check_cut(run: Run) -> None:
    """See, before anything is trained, that the device's part can be exported: here with random weights.

    Raises:
        TrainingError: ncnn can't run it, or payloads would be too large.

    """
    draft = Draft(features=None, compute=run.compute)
    for stage in run.needed:
        if stage.in_bundle:
            stage.export(run.untrained(stage, len(run.pictures.training.classes)), draft)
    _export_graph(draft, run.pipeline.backbone.architecture)


def _export_graph(draft: Draft, architecture: Architecture) -> Exported:
    check_payloads(draft.qualities, architecture.spec)
    return export_graph(draft.front, draft.outputs, (3, architecture.size, architecture.size))


def check_payloads(qualities: Mapping[str, Quality], network: NetworkSpec) -> None:
    """Refuse qualities whose payloads may be larger than a frame carries.

    Raises:
        TrainingError: some are.

    """
    for name, quality in qualities.items():
        most = ELEMENT_BYTES * math.prod(quality.latent_shape)
        if most > MAX_PAYLOAD_BYTES:
            raise TrainingError(
                f"a picture in quality {name} would have up to {most:,} bytes at the cut {network.cut} of {network.name}, "
                f"a frame carries {MAX_PAYLOAD_BYTES:,}; cut where less crosses (`cuts --network {network.name}` lists it)"
            )


def write_bundle(
    draft: Draft,
    folder: Path,
    architecture: Architecture,
    preparation: Preparation,
    classes: tuple[str, ...],
) -> Manifest:
    """Write a bundle as far as stages have put it together: its files and its manifest.

    Raises:
        TrainingError: ncnn can't run the device's part, or computes something else, or payloads would be too large.

    """
    network, feature = architecture.spec, architecture.cut
    exported = _export_graph(draft, architecture)
    head = HeadFiles(
        graph=f"device/{network.name}.ncnn.param",
        low_memory=f"device/{network.name}.low-memory.ncnn.param" if exported.low_memory else None,
        weights=f"device/{network.name}.ncnn.bin",
        parameters=exported.parameters,
        multiplications=exported.multiplications,
    )
    contents = {name: save(tensors) for name, tensors in draft.tensors.items()}
    contents |= {head.graph: exported.text.encode(), head.weights: exported.weights}
    if head.low_memory and exported.low_memory:
        contents[head.low_memory] = exported.low_memory.encode()
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = Manifest(
        format=FORMAT,
        id=folder.name,
        classes=classes,
        network=network,
        preparation=preparation,
        feature_shape=feature.shape,
        negative=feature.negative,
        heads={network.name: head},
        default_head=network.name,
        qualities=draft.qualities,
        default_quality="int8" if "int8" in draft.qualities else next(reversed(draft.qualities)),
        tail=tuple(draft.tail),
        fallback=CLASSES in draft.outputs,
        files={name: FileEntry.of(content) for name, content in contents.items()},
    ).sealed()
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def check_name(folder: Path) -> None:
    """Refuse a folder whose name can't be a bundle's id."""
    if not ID.fullmatch(folder.name):
        raise SettingsError(f"a bundle's name is lower-case letters, digits, . and -, not {folder.name!r}")


def model_card(
    run: Run,
    manifest: Manifest,
    evaluation: Evaluation,
    comparison: AutoencoderComparison | None,
    side: int | None,
    origins: Origins,
) -> str:
    """Write the card as Markdown; every figure in it was measured or is a setting.

    ``side``: of the pictures, where all are squares of one size.
    """
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
        shown=shown_classes(evaluation.scores[BASE].by_class),
        beside_paper=_beside_paper(evaluation, manifest, side),
        comparison=comparison,
        trained=run.result(run.pipeline.backbone),
        trains=trains,
        names=[stage.name for stage in stages],
        recipe=_recipe(run, stages),
        seed=run.seed,
        side=side,
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


def _beside_paper(evaluation: Evaluation, manifest: Manifest, side: int | None) -> dict[str, list[str]]:
    """Set the paper's table 1 beside ours, where network and pictures are the same."""
    classes = manifest.classes
    same = paper.has_its_network(manifest.network) and paper.has_its_pictures(classes, side)
    if not same or "paper" not in evaluation.scores:
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
