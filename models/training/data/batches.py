"""Where batches come from, pictures changed at random among them, and networks run over them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.device import Compute
from splitwire.models.training.data.decoding import in_parallel, part, seen, workers
from splitwire.models.training.data.pictures import Pictures
from splitwire.shared.pictures.decoding import View
from splitwire.shared.pictures.loading import Preparation, normalise

T = TypeVar("T")
Fetched = TypeVar("Fetched")

KEPT_BYTES = 1 << 30
"""Of pixels that are kept in memory: CIFAR-10's take 150 MB, 6,000 pictures of 224 x 224 take 900."""
_SIDE_OF_SHIFT = 32
_CROPS = 64


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
    """Prepared pictures, decoded whenever they are asked for: [N, 3, size, size], float32."""

    variants = 1

    def __init__(self, pictures: Pictures, preparation: Preparation) -> None:
        self._decoder = _Decoder(pictures, preparation.size, partial(seen, view=preparation.view))
        self._preparation = preparation
        self.labels = pictures.labels
        self.identity: Mapping[str, JsonValue] = {
            "pictures": pictures.digest(),
            "preparation": preparation.model_dump(mode="json"),
        }

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> Tensor:
        """Decode and prepare."""
        return torch.from_numpy(normalise(self._decoder(indices), self._preparation))


class AugmentedBatches:
    """Pictures as squares, changed at random: [N, 3, side, side], float32, 0..255.

    Squares of one size, no larger than the network's input, stay as they are; what else there is becomes what the
    network sees of it. Squares of ``KEPT_BYTES`` in all are kept on the device, more are decoded whenever asked for.

    Args:
        pictures: to change.
        preparation: the network's.
        device: where they are kept.
        mirrored: whether there is a mirror image of each.
        shift: how far they are moved at most: pixels of small squares, 32nds of the side of others. What a move
            uncovers is filled by reflection.
        crop: above 0, parts of pictures instead of moves, of at least this share of the area; see ``decoding.part``.

    A variant counts moves (vertical, then horizontal) or parts, then mirrorings; variant 0 is the picture as it is.

    """

    def __init__(
        self,
        pictures: Pictures,
        preparation: Preparation,
        device: torch.device,
        *,
        mirrored: bool,
        shift: int,
        crop: float = 0.0,
    ) -> None:
        self.side = augmented_side(pictures, preparation)
        self.device = device
        self.labels = pictures.labels
        self._crop = crop
        self._mirrorings = 2 if mirrored else 1
        self._shift = 0 if crop else shift
        self._moves = 2 * self._shift + 1
        self.variants = self._mirrorings * (_CROPS if crop else self._moves**2)
        self.identity: Mapping[str, JsonValue] = {
            "pictures": pictures.digest(),
            "mirrored": mirrored,
            "shift": shift,
        }
        self._step = 1.0
        if self.side != pictures.side or crop:
            self._step = self.side / _SIDE_OF_SHIFT
            self.identity = {
                **self.identity,
                "preparation": preparation.model_dump(mode="json"),
                "crop": crop,
            }
        view = preparation.view._replace(side=self.side)
        way = partial(part, view=view, least=crop) if crop else partial(seen, view=view)
        self._decoder = _Decoder(pictures, self.side, way)
        self._kept: Tensor | None = None
        if not crop and 3 * self.side**2 * len(pictures) <= KEPT_BYTES:
            every = self._decoder(np.arange(len(pictures)))
            self._kept = torch.from_numpy(every).permute(0, 3, 1, 2).contiguous().to(device)

    def batch(self, indices: NDArray[np.int64], variants: NDArray[np.int64] | None = None) -> Tensor:
        """Move each picture, or take a part of it, and mirror it where its variant says so."""
        device = self.device
        changes, mirrored = np.divmod(
            np.zeros_like(indices) if variants is None else variants, self._mirrorings
        )
        if self._kept is not None:
            pixels, chosen = self._kept, torch.from_numpy(indices).to(device)
        else:
            draws = (list(zip(indices.tolist(), changes.tolist(), strict=True)),) if self._crop else ()
            decoded = torch.from_numpy(self._decoder(indices, *draws)).to(device)
            pixels, chosen = decoded.permute(0, 3, 1, 2), torch.arange(len(indices), device=device)
        down, right = np.divmod(np.zeros_like(changes) if self._crop else changes, self._moves)
        positions, last = torch.arange(self.side, device=device), self.side - 1

        def window(move: NDArray[np.int64]) -> Tensor:
            pixels_moved = ((move + self._shift) % self._moves - self._shift) * self._step
            moved = positions + torch.from_numpy(pixels_moved.round().astype(np.int64)).to(device)[:, None]
            return last - (last - moved.abs()).abs()  # reflected at either edge

        rows, columns = window(down), window(right)
        flip = torch.from_numpy(mirrored.astype(bool)).to(device)
        columns = torch.where(flip[:, None], columns.flip(1), columns)
        cut = pixels[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return cut.permute(0, 3, 1, 2).float()


def augmented_side(pictures: Pictures, preparation: Preparation) -> int:
    """Give the side of the squares that ``AugmentedBatches`` makes of pictures: ``Enlarge`` does the rest."""
    size, side = preparation.size, pictures.side
    plain = preparation.view == View(size, squash=preparation.squash)
    return side if side and side <= size and plain else size


class _Decoder:
    """Decodes pictures by their indices in one way, on all cores: [N, side, side, 3], uint8."""

    def __init__(self, pictures: Pictures, side: int, way: Callable[..., NDArray[np.uint8]]) -> None:
        self._pictures = pictures
        self._side = side
        self._way = way
        self._executor = workers(len(pictures))

    def __call__(self, indices: NDArray[np.int64], *columns: Sequence[object]) -> NDArray[np.uint8]:
        """Decode; ``columns``: what else the way of decoding is given of each picture."""
        sources, names = self._pictures.sources, self._pictures.names
        chosen = ([sources[i] for i in indices], [names[i] for i in indices], *columns)
        decoded = np.empty((len(indices), self._side, self._side, 3), dtype=np.uint8)
        for place, pixels in enumerate(in_parallel(self._executor, self._way, *chosen)):
            decoded[place] = pixels
        return decoded


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

    [N, 3, side, side], 0..255 -> [N, 3, size, size], normalised; side <= size. Where both are one, it only normalises.
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


def ahead(fetch: Callable[[T], Fetched], keys: Iterable[T]) -> Iterator[Fetched]:
    """Fetch something for each key, in order, the next one while one is used."""
    with ThreadPoolExecutor(1) as pool:
        upcoming: Future[Fetched] | None = None
        for key in keys:
            current, upcoming = upcoming, pool.submit(fetch, key)
            if current:
                yield current.result()
        if upcoming:
            yield upcoming.result()


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
    chosen = (indices[first : first + size] for first in range(0, len(indices), size))
    for inputs in ahead(batches.batch, chosen):
        yield run_batch(network, inputs, compute)


def state_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights, as float32 in the order of their names."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode() + value.detach().float().contiguous().cpu().numpy().tobytes())
    return sha.hexdigest()
