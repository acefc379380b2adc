"""Accuracy of a bundle, measured through its real parts: head, codec, tail, in float32.

Here torch computes what a device computes with ncnn and numpy.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splitwire.models.errors import TrainingError
from splitwire.models.loading import load_convolutions, load_encoder, load_fallback, load_tails
from splitwire.models.training.data.batches import PictureBatches
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.bundle import load_bundle
from splitwire.shared.evaluation import BASE, DEVICE, Evaluation, Score, Share, share
from splitwire.shared.frame import HEADER_BYTES

_BATCH = 16


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
