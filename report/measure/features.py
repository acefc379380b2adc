"""The features of all pictures, and what a device makes of them without a cloud."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import zstandard

from splitwire.edge.compute.head import open_head
from splitwire.models.loading import load_tails
from splitwire.report.results import Answers, FeatureBytes
from splitwire.shared.bundle import load_bundle
from splitwire.shared.errors import SettingsError
from splitwire.shared.graph.reading import CLASSES, FEATURE
from splitwire.shared.pictures.decoding import decode
from splitwire.shared.pictures.loading import normalise
from splitwire.shared.task import task_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.shared.bundle import Bundle

HEAD: Final = "ncnn"
ZSTD_LEVEL = 3
_BATCH = 16


def compute_outputs(
    folder: Path, bundle: Bundle, pictures: Pictures, advance: Callable[[int], None]
) -> NDArray[np.void]:
    """Run the device's default head on every picture, or on those that an earlier run did not reach.

    Args:
        folder: keeps the outputs.
        bundle: with the device's files.
        pictures: in the same order each time.
        advance: told how many more are done.

    Returns:
        [pictures], a record each: every output of the head by its name, float32, memory-mapped.

    """
    shapes = bundle.graph().outputs
    record = np.dtype([(name, np.float32, shape) for name, shape in shapes.items()])
    file = folder / "outputs.f32"
    done = file.stat().st_size // record.itemsize if file.exists() else 0
    needed, free = (len(pictures) - done) * record.itemsize, shutil.disk_usage(folder).free
    if needed > free:
        raise SettingsError(
            f"the features need {needed / 1e9:.1f} GB for a while, {free / 1e9:.1f} GB are free at {folder}; "
            "choose another --out or a --limit"
        )
    advance(done)
    if done < len(pictures):
        head, preparation = open_head(HEAD, bundle, shapes), bundle.manifest.preparation
        with file.open("ab") as written:
            written.truncate(done * record.itemsize)
            for index in range(done, len(pictures)):
                seen = decode(pictures.files[index], pictures.names[index], preparation.view)
                outputs = head(normalise(np.asarray(seen), preparation))
                written.write(np.array(tuple(outputs[name] for name in shapes), record).tobytes())
                advance(1)
    return np.memmap(file, record, "r", shape=(len(pictures),))


def base_answers(path: Path, outputs: NDArray[np.void], advance: Callable[[int], None]) -> Answers:
    """Classify the features of heads' outputs without an autoencoder: the network as it was."""
    bundle = load_bundle(path, "cloud")
    back = load_tails(bundle)[bundle.manifest.default_quality].back
    classes: list[int] = []
    with torch.inference_mode():
        for first in range(0, len(outputs), _BATCH):
            batch = torch.from_numpy(np.array(outputs[first : first + _BATCH][FEATURE]))
            classes += back(batch).argmax(1).tolist()
            advance(len(batch))
    return Answers(classes=tuple(classes))


def own_answers(bundle: Bundle, outputs: NDArray[np.void], advance: Callable[[int], None]) -> Answers:
    """Give the answers of the device's own classifier; none where it has none."""
    if not bundle.manifest.fallback:
        return Answers()
    task, answers = task_of(bundle.manifest), []
    for logits in outputs[CLASSES]:
        answers.append(task.prediction(logits, top=1))
        advance(1)
    return Answers(
        classes=tuple(answer.class_id for answer in answers),
        probabilities=tuple(answer.probability for answer in answers),
    )


def feature_bytes(outputs: NDArray[np.void], advance: Callable[[int], None]) -> FeatureBytes:
    """Measure the features of heads' outputs as they are and compressed."""
    features = outputs[FEATURE]
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    sizes = []
    for feature in features:
        sizes.append(len(compressor.compress(feature.tobytes())))
        advance(1)
    return FeatureBytes(plain=features[0].nbytes, zstd=float(np.mean(sizes)))
