"""Where batches come from: pictures, or cached features of their frozen part."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from splitwire.models.errors import TrainingError
from splitwire.models.training.fitting.progress import CONSOLE, stage_progress
from splitwire.models.training.fitting.weights import state_digest
from splitwire.shared.pictures.loading import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.models.training.fitting.device import Compute
    from splitwire.shared.pictures.loading import Preparation

FLOAT16_MAX = 65504.0


class Source(Protocol):
    """Inputs of a network, by index; each in one or more variants, of which 0 is as it is."""

    labels: NDArray[np.int64]
    variants: int
    identity: Mapping[str, JsonValue]
    """What the inputs depend on: two sources with the same identity give the same."""

    def batch(self, indices: NDArray[np.int64], variants: NDArray[np.int64]) -> Tensor:
        """Fetch the given variant of each index: [N, ...], float32 or float16."""
        ...


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a stage trains on, and the held-out pictures that it measures on."""

    training: Source
    held_out: Source


class PictureSource:
    """Prepared pictures: [N, 3, 224, 224], float32."""

    variants = 1

    def __init__(self, pictures: Pictures, preparation: Preparation) -> None:
        self._pictures = pictures
        self._preparation = preparation
        self.labels = pictures.labels
        self.identity: Mapping[str, JsonValue] = {
            "pictures": pictures.digest(),
            "preparation": preparation.model_dump(mode="json"),
        }

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64]) -> Tensor:
        """Decode and prepare."""
        pictures = (self._pictures.image(int(index)) for index in indices)
        return torch.from_numpy(np.stack([prepare(picture, self._preparation) for picture in pictures]))


class CachedSource:
    """Features in a memory-mapped file: [pictures, ...] float16."""

    variants = 1

    def __init__(
        self, features: NDArray[np.float16], labels: NDArray[np.int64], key: Mapping[str, JsonValue]
    ) -> None:
        self.features = features
        self.labels = labels
        self.identity: Mapping[str, JsonValue] = {"features": dict(key)}

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64]) -> Tensor:
        """Read from disk (or from the memory that mirrors it)."""
        return torch.from_numpy(np.ascontiguousarray(self.features[indices]))


@torch.inference_mode()
def run_batch(network: nn.Module, inputs: Tensor, compute: Compute) -> Tensor:
    """Run a network on one batch: its output as float32 on the CPU."""
    inputs = inputs.to(compute.device, torch.float32)
    if inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with compute.autocast():
        output: Tensor = network(inputs)
    return output.float().cpu()


def outputs(network: nn.Module, source: Source, compute: Compute, batch: int = 64) -> Iterator[Tensor]:
    """Run a network over a source's pictures as they are, in order: batches of float32 on the CPU."""
    indices = np.arange(len(source.labels), dtype=np.int64)
    for first in range(0, len(indices), batch):
        chosen = indices[first : first + batch]
        yield run_batch(network, source.batch(chosen, np.zeros_like(chosen)), compute)


def cache_features(
    folder: Path,
    network: nn.Module,
    source: Source,
    *,
    compute: Compute,
    title: str,
    batch: int = 32,
) -> CachedSource:
    """Run a frozen network once over every picture of a source.

    The output goes to ``folder/features.npy``; ``folder/state.json`` says how far it got, and of
    what. A cache of the same network and source is finished or reused, another is written anew.

    Raises:
        TrainingError: the disk has no room for it.

    """
    total = len(source.labels)
    key = {"weights": state_digest(network), "compute": str(compute), **source.identity}
    state_file, features_file = folder / "state.json", folder / "features.npy"
    folder.mkdir(parents=True, exist_ok=True)
    done = _progress_of(state_file, key) if features_file.exists() else 0
    if done == total:
        return CachedSource(np.load(features_file, mmap_mode="r"), source.labels, key)

    network = network.to(compute.device).to(memory_format=torch.channels_last).eval()
    features: np.memmap[tuple[int, ...], np.dtype[np.float16]] | None = (
        np.load(features_file, mmap_mode="r+") if done else None
    )
    with stage_progress() as progress:
        task = progress.add_task(title, total=total, completed=done, note="")
        while done < total:
            indices = np.arange(done, min(done + batch, total), dtype=np.int64)
            output = run_batch(network, source.batch(indices, np.zeros_like(indices)), compute)
            block = output.clamp(-FLOAT16_MAX, FLOAT16_MAX).half().contiguous().numpy()
            if features is None:
                features = _new_file(features_file, (total, *block.shape[1:]), title)
            features[indices] = block
            done += len(indices)
            progress.update(task, completed=done)
            if done == total or (done // batch) % 64 == 0:
                features.flush()
                state_file.write_text(json.dumps({"key": key, "done": done}))
    return CachedSource(np.load(features_file, mmap_mode="r"), source.labels, key)


def _new_file(
    file: Path, shape: tuple[int, ...], title: str
) -> np.memmap[tuple[int, ...], np.dtype[np.float16]]:
    """Take the disk at once: running out of it under a memory-mapped file would end the process."""
    file.unlink(missing_ok=True)
    needed, free = 2 * math.prod(shape), shutil.disk_usage(file.parent).free
    CONSOLE.print(f"{title}: {needed / 1e9:.1f} GB of {free / 1e9:.1f} GB free in {file.parent}")
    if needed > free:
        raise TrainingError(
            f"the cache in {file.parent} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "choose another --run, fewer --pictures or more --frozen-blocks"
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
