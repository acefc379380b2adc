"""What is measured on test pictures: a bundle through its real parts, head, codec, tail; the SAE beside the CAE.

A bundle is measured in float32. Here torch computes what a device computes with ncnn and numpy. The SAE has the CAE's
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
from torch import Tensor, nn

from splitwire.models.autoencoder import LATENT_SHAPE
from splitwire.models.errors import TrainingError
from splitwire.models.loading import load_convolutions, load_encoder, load_fallback, load_tails
from splitwire.models.training.data.batches import PictureBatches
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.models.training.run import Run
from splitwire.models.training.stages.features import AutoencoderSettings, AutoencoderStage, features
from splitwire.models.training.stages.stage import Earlier
from splitwire.shared.bundle import load_bundle
from splitwire.shared.evaluation import BASE, DEVICE, Evaluation, Score, Share, share
from splitwire.shared.frame import HEADER_BYTES

_BATCH = 16
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
    manifest = device_side.manifest
    if pictures.classes != manifest.classes:
        raise TrainingError(f"the pictures' classes are not those of {path}; measure it on its own data set")
    convolutions = load_convolutions(device_side)
    fallback = load_fallback(device_side)
    tails = load_tails(cloud_side)
    ways = {
        name: (load_encoder(device_side, name), cloud_side.codec(name), tails[name])
        for name in manifest.qualities
    }
    prepared = PictureBatches(pictures, manifest.preparation)
    answers: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    sizes: dict[str, list[int]] = defaultdict(list)

    with stage_progress() as progress, torch.inference_mode():
        task = progress.add_task("evaluation", total=len(pictures), note="")
        for first in range(0, len(pictures), _BATCH):
            chosen = np.arange(first, min(first + _BATCH, len(pictures)), dtype=np.int64)
            inputs = prepared.batch(chosen)
            feature = convolutions(inputs.contiguous(memory_format=torch.channels_last))
            answers[BASE].append(_classes(tails[manifest.default_quality].classifier, feature))
            if fallback:
                answers[DEVICE].append(_classes(fallback, feature))
            for name, (encoder, codec, tail) in ways.items():
                latents = encoder(feature).contiguous().numpy()
                payloads = [codec.encode(codec.quantise(latent)) for latent in latents]
                sizes[name] += [HEADER_BYTES + len(payload) for payload in payloads]
                symbols = np.stack([codec.decode(payload) for payload in payloads])
                answers[name].append(_classes(tail, torch.from_numpy(codec.dequantise(symbols))))
            progress.update(task, advance=len(chosen))

    given = {name: np.concatenate(parts) for name, parts in answers.items()}
    compared = {"int8", "paper"} <= given.keys()
    return Evaluation(
        pictures=len(pictures),
        data_sha256=pictures.digest(),
        scores={name: _score(pictures, given[name], given[BASE], sizes.get(name)) for name in given},
        int8_agreement_with_paper=_share(given["int8"] == given["paper"]) if compared else None,
    )


def _classes(network: nn.Module, inputs: Tensor) -> NDArray[np.int64]:
    classes: NDArray[np.int64] = network(inputs).argmax(1).numpy()
    return classes


def _share(hits: NDArray[np.bool_]) -> Share:
    return share(int(hits.sum()), len(hits))


def _score(
    pictures: Pictures, given: NDArray[np.int64], base: NDArray[np.int64], sizes: list[int] | None
) -> Score:
    right = given == pictures.labels
    return Score(
        accuracy=_share(right),
        by_class={name: _share(right[pictures.labels == n]) for n, name in enumerate(pictures.classes)},
        body_bytes=float(np.mean(sizes)) if sizes else None,
        agreement_with_base=_share(given == base),
    )


def compare_autoencoders(run: Run, test: Pictures) -> AutoencoderComparison:
    """Measure the run's SAE and CAE on test pictures."""
    pipeline = run.pipeline
    backbone = run.trained(pipeline.backbone)
    tested = features(run, test, backbone, "test")

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
        code_elements=math.prod(LATENT_SHAPE),
        pictures=len(test),
        data_sha256=test.digest(),
        training_pictures=run.result(pipeline.sae).training_pictures,
        seed=run.seed,
        compute=str(run.compute),
    )
