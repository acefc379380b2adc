"""What is measured on test pictures: a bundle through its real parts, head, codec, tail; the SAE beside the CAE.

A bundle is measured in float32, the device's part on ncnn. The SAE has the CAE's
code size, features and classifier; its 160 million weights stay in the run, and what it can do is in ``sae.json``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from splitwire.models.autoencoder import latent_shape
from splitwire.models.errors import TrainingError
from splitwire.models.loading import load_tails
from splitwire.models.training.data.batches import PictureBatches
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.models.training.run import Run
from splitwire.models.training.stages.backbone import plain_features
from splitwire.models.training.stages.features import AutoencoderSettings, AutoencoderStage
from splitwire.models.training.stages.stage import Earlier
from splitwire.shared.bundle import load_bundle
from splitwire.shared.evaluation import BASE, DEVICE, Evaluation, Score, Share, share
from splitwire.shared.frame import HEADER_BYTES
from splitwire.shared.graph.reading import CLASSES, FEATURE
from splitwire.shared.graph.running import Runner
from splitwire.shared.task import Classification, task_of

_BATCH = 16
_LISTED = 200
"""Classes with a score of their own: an evaluation is a small file."""
SAE = "sae.json"


class AutoencoderScore(BaseModel):
    """What an autoencoder costs and loses: float32 latents, no codec.

    ``reconstruction_error``: mean squared error of an element of the feature.
    """

    model_config = ConfigDict(frozen=True)

    parameters: int
    reconstruction_error: float
    accuracy: Share
    settings: AutoencoderSettings
    hours: float


class AutoencoderComparison(BaseModel):
    """Both autoencoders on the same test pictures; ``compute``: on what they ran."""

    model_config = ConfigDict(frozen=True)

    sae: AutoencoderScore
    cae: AutoencoderScore
    code_elements: int
    pictures: int
    data_sha256: str
    training_pictures: int
    seed: int
    compute: str


def evaluate_bundle(path: Path, pictures: Pictures) -> Evaluation:
    """Classify every picture with every quality, and without compression."""
    device_side, cloud_side = load_bundle(path, "device"), load_bundle(path, "cloud")
    manifest, task = device_side.manifest, task_of(device_side.manifest)
    if pictures.classes != manifest.classes:
        raise TrainingError(f"the pictures' classes are not those of {path}; measure it on its own data set")
    run, tails = Runner(device_side.graph()), load_tails(cloud_side)
    base = tails[manifest.default_quality].back
    ways = {
        name: (quality.output, cloud_side.codec(name), tails[name])
        for name, quality in manifest.qualities.items()
    }
    prepared = PictureBatches(pictures, manifest.preparation)
    answers: dict[str, list[int]] = defaultdict(list)
    sizes: dict[str, list[int]] = defaultdict(list)

    def classify(name: str, network: nn.Module, inputs: list[NDArray[np.float32]]) -> None:
        answers[name] += task.best(network(torch.from_numpy(np.stack(inputs))).numpy()).tolist()

    with stage_progress() as progress, torch.inference_mode():
        bar = progress.add_task("evaluation", total=len(pictures), note="")
        for first in range(0, len(pictures), _BATCH):
            batch = prepared.batch(np.arange(first, min(first + _BATCH, len(pictures)))).numpy()
            made = [run(picture) for picture in batch]
            classify(BASE, base, [outputs[FEATURE] for outputs in made])
            if manifest.fallback:
                classify(DEVICE, nn.Identity(), [outputs[CLASSES] for outputs in made])
            for name, (output, codec, tail) in ways.items():
                payloads = [codec.encode(codec.quantise(outputs[output])) for outputs in made]
                sizes[name] += [HEADER_BYTES + len(payload) for payload in payloads]
                classify(name, tail, [codec.dequantise(codec.decode(payload)) for payload in payloads])
            progress.update(bar, advance=len(batch))

    given = {name: np.array(classes) for name, classes in answers.items()}
    compared = {"int8", "paper"} <= given.keys()
    labels, sizes_of_classes = np.unique(pictures.labels, return_counts=True)
    hits = np.bincount(pictures.labels, given[BASE] == pictures.labels)[labels]
    listed = np.sort(labels[np.argsort(hits / sizes_of_classes, kind="stable")[:_LISTED]]).tolist()
    return Evaluation(
        pictures=len(pictures),
        data_sha256=pictures.digest(),
        scores={
            name: _score(task, pictures, given[name], given[BASE], sizes.get(name), listed) for name in given
        },
        int8_agreement_with_paper=_share(given["int8"] == given["paper"]) if compared else None,
    )


def _share(hits: NDArray[np.bool_]) -> Share:
    return share(int(hits.sum()), len(hits))


def _score(
    task: Classification,
    pictures: Pictures,
    given: NDArray[np.intp],
    base: NDArray[np.intp],
    sizes: list[int] | None,
    listed: list[int],
) -> Score:
    right = task.right(given, pictures.labels)
    return Score(
        accuracy=_share(right),
        by_class={pictures.classes[n]: _share(right[pictures.labels == n]) for n in listed},
        body_bytes=float(np.mean(sizes)) if sizes else None,
        agreement_with_base=_share(given == base),
    )


def compare_autoencoders(run: Run, test: Pictures) -> AutoencoderComparison:
    """Measure the run's SAE and CAE on test pictures."""
    pipeline = run.pipeline
    backbone = run.trained(pipeline.backbone)
    tested = plain_features(run, test, backbone, "test")

    def score(stage: AutoencoderStage) -> AutoencoderScore:
        autoencoder, result = run.trained(stage), run.result(stage)
        measured = stage.validate(autoencoder, tested, Earlier(stage, run.trained), run.compute)
        return AutoencoderScore(
            parameters=sum(parameter.numel() for parameter in autoencoder.parameters()),
            reconstruction_error=measured.loss,
            accuracy=share(round(measured.accuracy * len(test)), len(test)),
            settings=AutoencoderSettings.model_validate(result.settings),
            hours=result.hours,
        )

    return AutoencoderComparison(
        sae=score(pipeline.sae),
        cae=score(pipeline.cae),
        code_elements=math.prod(latent_shape(pipeline.backbone.architecture.cut.shape)),
        pictures=len(test),
        data_sha256=test.digest(),
        training_pictures=run.result(pipeline.sae).training_pictures,
        seed=run.seed,
        compute=str(run.compute),
    )
