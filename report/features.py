"""The features of all pictures, by the device's default head; computed once, whatever the number of qualities."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np

from edge.head import open_head
from shared.picture import prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from models.training.data import Pictures
    from shared.bundle import Bundle

HEAD: Final = "ncnn"
_BETWEEN_FLUSHES = 16


def compute_features(
    folder: Path, bundle: Bundle, pictures: Pictures, advance: Callable[[int], None]
) -> NDArray[np.float32]:
    """Run the head on every picture, or on those that an earlier run in this folder did not reach.

    Args:
        folder: keeps the features and how far they got.
        bundle: with the device's files.
        pictures: in the same order each time.
        advance: told how many more are done.

    Returns:
        [pictures, 512, 7, 7], float32, memory-mapped.

    Raises:
        BundleError: the convolutions can't be used.
        PictureError: a picture can't be read.

    """
    file, state = folder / "features.npy", folder / "features-done.json"
    total = len(pictures)
    done = json.loads(state.read_text()) if state.exists() else 0
    advance(done)
    if done < total:
        shape = (total, *bundle.manifest.feature_shape)
        features = (
            np.lib.format.open_memmap(file, mode="r+")
            if done
            else np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        )
        head = open_head(HEAD, bundle)
        while done < total:
            features[done] = head(prepare(pictures.image(done), bundle.manifest.preparation))
            done += 1
            advance(1)
            if done % _BETWEEN_FLUSHES == 0 or done == total:
                features.flush()
                state.write_text(json.dumps(done))
    kept: NDArray[np.float32] = np.load(file, mmap_mode="r")
    return kept
