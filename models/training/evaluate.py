"""Accuracy of a bundle, measured through its real parts: head, codec, tail, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from splitwire.models.errors import TrainingError
from splitwire.models.loading import load_convolutions, load_encoder, load_fallback, load_tails
from splitwire.models.training.data.sources import PictureSource
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.bundle import load_bundle
from splitwire.shared.evaluation import BASE, DEVICE, Evaluation, Score, Share, share
from splitwire.shared.frame import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.models.tail import Tail
    from splitwire.models.training.data.pictures import Pictures
    from splitwire.shared.codecs.abc import Codec


def evaluate_bundle(path: Path, pictures: Pictures, batch: int = 16) -> Evaluation:
    """Classify every picture with every quality, and without compression.

    Raises:
        BundleError: the bundle can't be used.
        TrainingError: the pictures are of other classes.

    """
    device_side, cloud_side = load_bundle(path, "device"), load_bundle(path, "cloud")
    manifest = device_side.manifest
    if pictures.classes != manifest.classes:
        raise TrainingError(f"the pictures' classes are not those of {path}; measure it on its own data set")
    convolutions = load_convolutions(device_side)
    encoders = {name: load_encoder(device_side, name) for name in manifest.qualities}
    tails = load_tails(cloud_side)
    codecs = {name: cloud_side.codec(name) for name in manifest.qualities}
    classifier = tails[manifest.default_quality].classifier
    fallback = load_fallback(device_side)
    networks = (BASE, *((DEVICE,) if fallback else ()), *manifest.qualities)
    source = PictureSource(pictures, manifest.preparation)
    answers: dict[str, list[NDArray[np.int64]]] = {name: [] for name in networks}
    sizes: dict[str, list[int]] = {name: [] for name in manifest.qualities}

    with stage_progress() as progress, torch.inference_mode():
        task = progress.add_task("evaluation", total=len(pictures), note="")
        for first in range(0, len(pictures), batch):
            chosen = np.arange(first, min(first + batch, len(pictures)), dtype=np.int64)
            inputs = source.batch(chosen, np.zeros_like(chosen)).contiguous(memory_format=torch.channels_last)
            feature = convolutions(inputs)
            answers[BASE].append(_classes(classifier, feature))
            if fallback:
                answers[DEVICE].append(_classes(fallback, feature))
            for name in manifest.qualities:
                payloads = _encode(encoders[name], codecs[name], feature)
                sizes[name] += [HEADER_BYTES + len(payload) for payload in payloads]
                answers[name].append(_decode(tails[name], codecs[name], payloads))
            progress.update(task, advance=len(chosen))

    given = {name: np.concatenate(parts) for name, parts in answers.items()}
    scores = {name: _score(pictures, given[name], given[BASE], sizes.get(name)) for name in networks}
    agreement = None
    if {"int8", "paper"} <= manifest.qualities.keys():
        agreement = _agreement(given["int8"], given["paper"])
    return Evaluation(
        pictures=len(pictures),
        data_sha256=pictures.digest(),
        scores=scores,
        int8_agreement_with_paper=agreement,
    )


def _encode(encoder: nn.Module, codec: Codec, feature: torch.Tensor) -> list[bytes]:
    latents = encoder(feature).contiguous().numpy()
    return [codec.encode(codec.quantise(latent)) for latent in latents]


def _decode(tail: Tail, codec: Codec, payloads: list[bytes]) -> NDArray[np.int64]:
    symbols = np.stack([codec.decode(payload) for payload in payloads])
    return _classes(tail, torch.from_numpy(codec.dequantise(symbols)))


def _classes(network: nn.Module, inputs: torch.Tensor) -> NDArray[np.int64]:
    classes: NDArray[np.int64] = network(inputs).argmax(1).numpy()
    return classes


def _agreement(one: NDArray[np.int64], other: NDArray[np.int64]) -> Share:
    return share(int((one == other).sum()), len(one))


def _score(
    pictures: Pictures, given: NDArray[np.int64], base: NDArray[np.int64], sizes: list[int] | None
) -> Score:
    right = given == pictures.labels
    by_class: Mapping[str, NDArray[np.bool_]] = {
        name: right[pictures.labels == label] for label, name in enumerate(pictures.classes)
    }
    return Score(
        accuracy=share(int(right.sum()), len(right)),
        by_class={name: share(int(hits.sum()), len(hits)) for name, hits in by_class.items()},
        body_bytes=float(np.mean(sizes)) if sizes else None,
        agreement_with_base=_agreement(given, base),
    )
