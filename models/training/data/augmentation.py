"""Pictures changed at random while they are trained on, and enlarged on the device that trains."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.pictures import Pictures
from splitwire.shared.pictures.loading import Preparation


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

    def batch(self, indices: NDArray[np.int64], variants: NDArray[np.int64]) -> Tensor:
        """Cut each picture out of its padded self, and mirror it where its variant says so."""
        device = self.device
        moves, mirrored = np.divmod(variants, self._mirrorings)
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

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64]) -> Tensor:
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
