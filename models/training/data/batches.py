"""Where batches come from, pictures changed at random among them, and networks run over them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.device import Compute
from splitwire.models.errors import TrainingError
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

    def batch(self, indices: NDArray[np.int64], variants: NDArray[np.int64] | None = None) -> Tensor:
        """Fetch the given variant of each index, or each as it is: [N, ...], float32 or float16."""
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

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> Tensor:
        """Decode and prepare."""
        pictures = (self._pictures.image(int(index)) for index in indices)
        return torch.from_numpy(np.stack([prepare(picture, self._preparation) for picture in pictures]))


class AugmentedBatches:
    """Pictures in their own size, mirrored and moved: [N, 3, side, side], float32, 0..255.

    All pixels are kept on the device. What a move uncovers is filled by reflection. A variant
    counts vertical, then horizontal moves, then mirrorings; variant 0 is the picture as it is.
    """

    def __init__(self, pictures: Pictures, device: torch.device, *, mirrored: bool, shift: int) -> None:
        images = [np.asarray(pictures.image(index)) for index in range(len(pictures))]
        sizes = {image.shape[:2] for image in images}
        self.side = images[0].shape[0]
        if sizes != {(self.side, self.side)}:
            raise TrainingError(
                "pictures can only be mirrored or moved where all are squares of one size, as CIFAR-10's are; "
                "bring them to one, or train without"
            )
        edges = ((0, 0), (shift, shift), (shift, shift), (0, 0))
        padded = np.pad(np.stack(images), edges, mode="reflect").transpose(0, 3, 1, 2)
        self._padded = torch.from_numpy(np.ascontiguousarray(padded)).to(device)
        self.device = device
        self._moves = 2 * shift + 1
        self._mirrorings = 2 if mirrored else 1
        self._shift = shift
        self.labels = pictures.labels
        self.variants = self._mirrorings * self._moves**2
        self.identity: Mapping[str, JsonValue] = {
            "pictures": pictures.digest(),
            "mirrored": mirrored,
            "shift": shift,
        }

    def batch(self, indices: NDArray[np.int64], variants: NDArray[np.int64] | None = None) -> Tensor:
        """Cut each picture out of its padded self, and mirror it where its variant says so."""
        device = self.device
        moves, mirrored = np.divmod(
            np.zeros_like(indices) if variants is None else variants, self._mirrorings
        )
        down, right = np.divmod(moves, self._moves)
        positions = torch.arange(self.side, device=device)

        def window(move: NDArray[np.int64]) -> Tensor:
            start = torch.from_numpy((move + self._shift) % self._moves).to(device)
            return start[:, None] + positions

        rows, columns = window(down), window(right)
        flip = torch.from_numpy(mirrored.astype(bool)).to(device)
        columns = torch.where(flip[:, None], columns.flip(1), columns)
        chosen = torch.from_numpy(indices).to(device)[:, None, None]
        cut = self._padded[chosen, :, rows[:, :, None], columns[:, None, :]]
        return cut.permute(0, 3, 1, 2).float()


class DrawnBatches:
    """A fixed list of drawn variants, prepared: [N, 3, size, size], float32.

    Where ``plain``, every picture as it is comes first. Entry i is of picture i modulo the number of pictures.
    """

    variants = 1

    def __init__(
        self, pixels: AugmentedBatches, preparation: Preparation, times: int, seed: int, *, plain: bool
    ) -> None:
        count = len(pixels.labels)
        unchanged = np.zeros(count if plain else 0, dtype=np.int64)
        drawn = np.random.default_rng(seed).integers(pixels.variants, size=times * count - len(unchanged))
        self._pixels = pixels
        self._enlarge = Enlarge(preparation).to(pixels.device)
        self._drawn = np.concatenate([unchanged, drawn])
        self.labels = np.tile(pixels.labels, times)
        self.identity: Mapping[str, JsonValue] = {
            **pixels.identity,
            "preparation": preparation.model_dump(mode="json"),
            "times": times,
            "seed": seed,
            "plain": plain,
        }

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> Tensor:
        """Cut out and enlarge."""
        enlarged: Tensor = self._enlarge(
            self._pixels.batch(indices % len(self._pixels.labels), self._drawn[indices])
        )
        return enlarged


class Enlarge(nn.Module):
    """Pixels to the network's input, as ``splitwire.shared.pictures.loading.prepare`` does for one picture.

    [N, 3, side, side], 0..255 -> [N, 3, size, size], normalised; side <= size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preparation: Preparation) -> None:
        super().__init__()
        self.size = preparation.size
        self.register_buffer("mean", 255 * torch.tensor(preparation.mean)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(preparation.std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Enlarge bilinearly, rows first, each time to whole values, as Pillow does; then normalise."""
        wider = _enlarge(pixels, pixels.shape[2], self.size)
        enlarged = _enlarge(wider, self.size, self.size)
        normalised: Tensor = (enlarged - self.mean) / self.std
        return normalised


def _enlarge(pixels: Tensor, rows: int, columns: int) -> Tensor:
    enlarged = functional.interpolate(pixels, (rows, columns), mode="bilinear")
    return (enlarged + 0.5).floor()


def variants_of_epoch(variants: int, count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """Choose a variant of each of ``count`` inputs: [count], int64, below ``variants``.

    Each input begins at random, and meets all of its variants before it meets one again: odd and even ones (mirrored
    and not) by turns, where there is an even number of them (Jordan, 2024).
    """
    strides = range(round(0.618 * variants) | 1, 2 * variants + 2, 2)
    stride = next(stride for stride in strides if math.gcd(stride, variants) == 1)
    first = np.random.default_rng(seed).integers(variants, size=count)
    return (first + epoch * stride) % variants


def sample(batches: Batches, about: int) -> Tensor:
    """Fetch about so many inputs as they are, evenly from all: [N, ...]."""
    count = len(batches.labels)
    indices = np.arange(0, count, max(1, count // about), dtype=np.int64)
    return batches.batch(indices)


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
        yield run_batch(network, batches.batch(chosen), compute)


def state_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights, as float32 in the order of their names."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode() + value.detach().float().contiguous().cpu().numpy().tobytes())
    return sha.hexdigest()
