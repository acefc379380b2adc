"""What needs no cloud: the uncompressed network, the device's own classifier, the feature's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import zstandard
from pydantic import BaseModel, ConfigDict

from splitwire.edge.compute.fallback import Fallback
from splitwire.models.loading import load_tails
from splitwire.shared.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

ZSTD_LEVEL = 3
_BATCH = 16


class Base(BaseModel):
    """Answers of VGG16 alone, class by picture."""

    model_config = ConfigDict(frozen=True)

    classes: tuple[int, ...]


class Own(BaseModel):
    """Answers of the device's own small classifier, with its probability of each, 0 to 1; empty where there is none."""

    model_config = ConfigDict(frozen=True)

    classes: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()


class FeatureBytes(BaseModel):
    """Bytes of a feature as float32, and mean after zstd."""

    model_config = ConfigDict(frozen=True)

    plain: int
    zstd: float


def base_answers(path: Path, features: NDArray[np.float32], advance: Callable[[int], None]) -> Base:
    """Classify features [N, 512, 7, 7] without an autoencoder."""
    bundle = load_bundle(path, "cloud")
    classifier = load_tails(bundle)[bundle.manifest.default_quality].classifier
    classes: list[int] = []
    with torch.inference_mode():
        for first in range(0, len(features), _BATCH):
            batch = torch.from_numpy(np.array(features[first : first + _BATCH]))
            classes += classifier(batch).argmax(1).tolist()
            advance(len(batch))
    return Base(classes=tuple(classes))


def own_answers(bundle: Bundle, features: NDArray[np.float32], advance: Callable[[int], None]) -> Own:
    """Classify features [N, 512, 7, 7] with the device's own classifier."""
    classifier = Fallback.load(bundle)
    if classifier is None:
        return Own()
    answers = []
    for feature in features:
        answers.append(classifier(feature, top=1))
        advance(1)
    return Own(
        classes=tuple(answer.class_id for answer in answers),
        probabilities=tuple(answer.probability for answer in answers),
    )


def feature_bytes(features: NDArray[np.float32], advance: Callable[[int], None]) -> FeatureBytes:
    """Measure features [N, 512, 7, 7] as they are and compressed."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    sizes = []
    for feature in features:
        sizes.append(len(compressor.compress(feature.tobytes())))
        advance(1)
    return FeatureBytes(plain=features[0].nbytes, zstd=float(np.mean(sizes)))
