"""Where batches come from, and networks run over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn

from splitwire.models.device import Compute
from splitwire.models.training.data.pictures import Pictures
from splitwire.shared.pictures.loading import Preparation, prepare

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Parts(Generic[T]):
    """What is trained on, and what is held out to measure progress on."""

    training: T
    held_out: T


class Batches(Protocol):
    """Inputs of a network, by index; each in one or more variants, of which 0 is as it is."""

    labels: NDArray[np.int64]
    variants: int
    identity: Mapping[str, JsonValue]
    """What the inputs depend on: the same identity means the same inputs."""

    def batch(self, indices: NDArray[np.int64], variants: NDArray[np.int64]) -> Tensor:
        """Fetch the given variant of each index: [N, ...], float32 or float16."""
        ...


class PictureBatches:
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


def sample(batches: Batches, about: int) -> Tensor:
    """Fetch about so many inputs as they are, evenly from all: [N, ...]."""
    count = len(batches.labels)
    indices = np.arange(0, count, max(1, count // about), dtype=np.int64)
    return batches.batch(indices, np.zeros_like(indices))


@torch.inference_mode()
def run_batch(network: Callable[[Tensor], Tensor], inputs: Tensor, compute: Compute) -> Tensor:
    """Run a network on one batch: its output as float32 on the CPU."""
    inputs = inputs.to(compute.device, torch.float32)
    if inputs.dim() == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with compute.autocast():
        return network(inputs).float().cpu()


def outputs(
    network: Callable[[Tensor], Tensor], batches: Batches, compute: Compute, size: int = 64
) -> Iterator[Tensor]:
    """Run a network over all inputs as they are, in order: batches of float32 on the CPU."""
    indices = np.arange(len(batches.labels), dtype=np.int64)
    for first in range(0, len(indices), size):
        chosen = indices[first : first + size]
        yield run_batch(network, batches.batch(chosen, np.zeros_like(chosen)), compute)


def state_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights, as float32 in the order of their names."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode() + value.detach().float().contiguous().cpu().numpy().tobytes())
    return sha.hexdigest()
