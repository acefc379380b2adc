"""The features of all pictures, and what a device makes of them without a cloud."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import zstandard

from splitwire.edge.compute.fallback import Fallback
from splitwire.edge.compute.head import open_head
from splitwire.models.loading import load_tails
from splitwire.report.results import Answers, FeatureBytes
from splitwire.shared.bundle import load_bundle
from splitwire.shared.errors import SettingsError
from splitwire.shared.pictures.loading import prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.shared.bundle import Bundle

HEAD: Final = "ncnn"
ZSTD_LEVEL = 3
_BATCH = 16


def compute_features(
    folder: Path, bundle: Bundle, pictures: Pictures, advance: Callable[[int], None]
) -> NDArray[np.float32]:
    """Run the device's default head on every picture, or on those that an earlier run did not reach.

    Args:
        folder: keeps the features.
        bundle: with the device's files.
        pictures: in the same order each time.
        advance: told how many more are done.

    Returns:
        [pictures, 512, 7, 7], float32, memory-mapped.

    """
    shape = bundle.manifest.feature_shape
    file, size = folder / "features.f32", 4 * math.prod(shape)
    done = file.stat().st_size // size if file.exists() else 0
    needed, free = (len(pictures) - done) * size, shutil.disk_usage(folder).free
    if needed > free:
        raise SettingsError(
            f"the features need {needed / 1e9:.1f} GB for a while, {free / 1e9:.1f} GB are free at {folder}; "
            "choose another --out or a --limit"
        )
    advance(done)
    if done < len(pictures):
        head = open_head(HEAD, bundle)
        with file.open("ab") as features:
            features.truncate(done * size)
            for index in range(done, len(pictures)):
                feature = head(prepare(pictures.image(index), bundle.manifest.preparation))
                features.write(np.ascontiguousarray(feature, dtype=np.float32).tobytes())
                advance(1)
    return np.memmap(file, np.float32, "r", shape=(len(pictures), *shape))


def base_answers(path: Path, features: NDArray[np.float32], advance: Callable[[int], None]) -> Answers:
    """Classify features [n, 512, 7, 7] without an autoencoder: VGG16 alone."""
    bundle = load_bundle(path, "cloud")
    classifier = load_tails(bundle)[bundle.manifest.default_quality].classifier
    classes: list[int] = []
    with torch.inference_mode():
        for first in range(0, len(features), _BATCH):
            batch = torch.from_numpy(np.array(features[first : first + _BATCH]))
            classes += classifier(batch).argmax(1).tolist()
            advance(len(batch))
    return Answers(classes=tuple(classes))


def own_answers(bundle: Bundle, features: NDArray[np.float32], advance: Callable[[int], None]) -> Answers:
    """Classify features [n, 512, 7, 7] with the device's own classifier; empty where it has none."""
    classifier = Fallback.load(bundle)
    if classifier is None:
        return Answers()
    answers = []
    for feature in features:
        answers.append(classifier(feature, top=1))
        advance(1)
    return Answers(
        classes=tuple(answer.class_id for answer in answers),
        probabilities=tuple(answer.probability for answer in answers),
    )


def feature_bytes(features: NDArray[np.float32], advance: Callable[[int], None]) -> FeatureBytes:
    """Measure features [n, 512, 7, 7] as they are and compressed."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    sizes = []
    for feature in features:
        sizes.append(len(compressor.compress(feature.tobytes())))
        advance(1)
    return FeatureBytes(plain=features[0].nbytes, zstd=float(np.mean(sizes)))
