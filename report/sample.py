"""Which test pictures are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from splitwire.models import paper
from splitwire.models.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.shared.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The pictures that are measured.

    ``coded``: indices of those sent as files in every setting; ``deciding``: in the settings that may be the smallest
    to keep the accuracy. ``timed``: of those timed.
    """

    everything: Pictures
    pictures: Pictures
    coded: NDArray[np.int64]
    deciding: NDArray[np.int64]
    timed: NDArray[np.int64]
    seed: int


def take_sample(everything: Pictures, limit: int | None, seed: int) -> Sample:
    """Take at most ``limit`` pictures; see ``spread_sample``."""
    pictures = everything
    if limit is not None:
        pictures = everything.subset(spread_sample(everything.labels, limit, seed))
    coded, deciding, timed = (
        spread_sample(pictures.labels, min(most, len(pictures)), seed)
        for most in ((250, 2500, 100) if limit is None else (25, 50, 40))
    )
    return Sample(
        everything=everything, pictures=pictures, coded=coded, deciding=deciding, timed=timed, seed=seed
    )


def beside_paper(bundle: Bundle, sample: Sample) -> bool:
    """Tell whether network, cut and pictures are the paper's."""
    manifest = bundle.manifest
    same = paper.has_its_pictures(manifest.classes, sample.everything.side)
    return same and paper.has_its_network(manifest.network)


def spread_sample(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Choose ``count`` indices at random, of every class as many, or one more or less, as long as it has more; sorted.

    A larger sample with the same seed holds the smaller one.

    Raises:
        TrainingError: there are not so many pictures.

    """
    if not 1 <= count <= len(labels):
        raise TrainingError(f"can't take {count} of {len(labels)} pictures; use 1 to {len(labels)}")
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.unique(labels))
    by_class = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
    turns = np.concatenate([np.arange(len(indices)) for indices in by_class])
    in_turn = np.argsort(turns, kind="stable")  # the first of every class, then the second of each, and so on
    return np.sort(np.concatenate(by_class)[in_turn[:count]]).astype(np.int64)
