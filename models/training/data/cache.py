"""Outputs of frozen layers: computed once, and read from disk in every epoch."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn

from splitwire.models.device import Compute
from splitwire.models.errors import TrainingError
from splitwire.models.training.data.batches import Batches, ahead, run_batch, state_digest
from splitwire.models.training.fitting.progress import CONSOLE, stage_progress

_FLOAT16_MAX = 65504.0


class CachedBatches:
    """Features in a memory-mapped file: [pictures, ...] float16."""

    variants = 1

    def __init__(self, file: Path, labels: NDArray[np.int64], key: Mapping[str, JsonValue]) -> None:
        self.features: NDArray[np.float16] = np.load(file, mmap_mode="r")
        self.labels = labels
        self.identity: Mapping[str, JsonValue] = {"features": dict(key)}

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> Tensor:
        """Read from disk (or from the memory that mirrors it)."""
        return torch.from_numpy(np.ascontiguousarray(self.features[indices]))


def cache_features(
    folder: Path, network: nn.Module, batches: Batches, *, compute: Compute, title: str, size: int = 32
) -> CachedBatches:
    """Run a frozen network once over every picture.

    The output goes to ``folder/features.npy``; ``folder/state.json`` says how far it got, and of
    what. A cache of the same network and pictures is finished or reused, another is written anew.
    """
    total = len(batches.labels)
    key = {"weights": state_digest(network), "compute": str(compute), **batches.identity}
    state_file, features_file = folder / "state.json", folder / "features.npy"
    folder.mkdir(parents=True, exist_ok=True)
    done = _progress_of(state_file, key) if features_file.exists() else 0
    if done < total:
        network = network.to(compute.device).to(memory_format=torch.channels_last).eval()
        features: np.memmap[tuple[int, ...], np.dtype[np.float16]] | None = (
            np.load(features_file, mmap_mode="r+") if done else None
        )
        with stage_progress() as progress:
            task = progress.add_task(title, total=total, completed=done, note="")
            firsts = range(done, total, size)
            chosen = (np.arange(first, min(first + size, total), dtype=np.int64) for first in firsts)
            for inputs in ahead(batches.batch, chosen):
                output = run_batch(network, inputs, compute)
                block = output.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().contiguous().numpy()
                if features is None:
                    state_file.unlink(missing_ok=True)
                    features = _new_file(features_file, (total, *block.shape[1:]), title)
                features[done : done + len(block)] = block
                done += len(block)
                progress.update(task, completed=done)
                if done == total or (done // size) % 64 == 0:
                    features.flush()
                    state_file.write_text(json.dumps({"key": key, "done": done}))
    return CachedBatches(features_file, batches.labels, key)


def _new_file(
    file: Path, shape: tuple[int, ...], title: str
) -> np.memmap[tuple[int, ...], np.dtype[np.float16]]:
    """Take the disk at once: running out of it under a memory-mapped file would end the process."""
    file.unlink(missing_ok=True)
    needed, free = 2 * math.prod(shape), shutil.disk_usage(file.parent).free
    CONSOLE.print(f"{title}: {needed / 1e9:.1f} GB of {free / 1e9:.1f} GB free in {file.parent}")
    if needed > free:
        raise TrainingError(
            f"the cache in {file.parent} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; choose "
            "another --run, or begin it with fewer pictures (--set data.pictures=N) or more frozen layers "
            "(--set backbone.frozen=cut)"
        )
    features = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    return features


def _progress_of(state_file: Path, key: Mapping[str, JsonValue]) -> int:
    try:
        state = json.loads(state_file.read_text())
    except (OSError, ValueError):
        return 0
    return int(state["done"]) if state.get("key") == key else 0


class Frozen(nn.Module):
    """Layers that are not trained, on a processor two pictures at a time.

    Two pictures' activations stay in its caches: VGG16's first three blocks took 12 ms a picture so, and 22 with 32 at a
    time. A GPU takes all at once.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Run without gradients."""
        at_once = 2 if inputs.device.type == "cpu" else len(inputs)
        with torch.no_grad():
            return torch.cat([self.layers(part) for part in torch.split(inputs, at_once)])

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002, FBT001 - torch's signature
        """Stay as it is: what batch norms measured is frozen, too."""
        return super().train(mode=False)
