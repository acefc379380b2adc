"""The features of all pictures, by the device's default head; computed once, whatever the number of qualities."""

from __future__ import annotations

import math
import shutil
import time
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import BaseModel

from splitwire.edge.compute.head import open_head
from splitwire.shared.errors import SettingsError
from splitwire.shared.pictures.loading import prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.shared.bundle import Bundle

HEAD: Final = "ncnn"
_BETWEEN_FLUSHES = 16


class _State(BaseModel):
    """How many pictures are done, and the seconds that they took."""

    done: int = 0
    seconds: float = 0.0


def compute_features(
    folder: Path, bundle: Bundle, pictures: Pictures, advance: Callable[[int], None]
) -> tuple[NDArray[np.float32], float]:
    """Run the head on every picture, or on those that an earlier run in this folder did not reach.

    Args:
        folder: keeps the features and how far they got.
        bundle: with the device's files.
        pictures: in the same order each time.
        advance: told how many more are done.

    Returns:
        [pictures, 512, 7, 7], float32, memory-mapped; the seconds that they took, in all runs.

    Raises:
        BundleError: the convolutions can't be used.
        PictureError: a picture can't be read.
        SettingsError: the disk has no room for them.

    """
    file, state_file = folder / "features.npy", folder / "features-done.json"
    total = len(pictures)
    state = _State.model_validate_json(state_file.read_bytes()) if state_file.exists() else _State()
    advance(state.done)
    if state.done < total:
        features = (
            np.lib.format.open_memmap(file, mode="r+")
            if state.done
            else _new_file(file, (total, *bundle.manifest.feature_shape))
        )
        head = open_head(HEAD, bundle)
        started = time.monotonic() - state.seconds
        for index in range(state.done, total):
            features[index] = head(prepare(pictures.image(index), bundle.manifest.preparation))
            advance(1)
            if (index + 1) % _BETWEEN_FLUSHES == 0 or index + 1 == total:
                features.flush()
                state = _State(done=index + 1, seconds=time.monotonic() - started)
                state_file.write_text(state.model_dump_json())
    return np.load(file, mmap_mode="r"), state.seconds


def _new_file(file: Path, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.float32]]:
    """Look for room first: running out of it under a memory-mapped file would end the process."""
    needed, free = 4 * math.prod(shape), shutil.disk_usage(file.parent).free
    if needed > free:
        raise SettingsError(
            f"the features need {needed / 1e9:.1f} GB for a while, {free / 1e9:.1f} GB are free at {file.parent}; "
            "choose another --out or a --limit"
        )
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
