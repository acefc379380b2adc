"""Pictures decoded on all cores: in threads, or in processes, which import this module and no torch."""

from __future__ import annotations

import hashlib
import math
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.files import Source, read
from splitwire.shared.cores import usable_cores
from splitwire.shared.errors import PictureError
from splitwire.shared.pictures.decoding import View, decode, square

T = TypeVar("T")

_MANY = 20_000
"""From so many pictures on, worker processes are worth their start."""
_AT_ONCE = 256
_LEAST_RATIO, _TRIES = 3 / 4, 10


def workers(count: int) -> Executor:
    """Build what decodes ``count`` pictures on all cores: threads, or processes where there are many pictures.

    Pillow decodes without Python's lock; what else a picture takes would hold up a GPU that needs thousands a second.
    """
    if count < _MANY:
        return ThreadPoolExecutor(usable_cores())
    return ProcessPoolExecutor(
        usable_cores(), get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
    )


def in_parallel(executor: Executor, function: Callable[..., T], *columns: Sequence[Any]) -> Iterator[T]:
    """Call a function with each row of some columns, as ``map`` does, some hundred rows at once."""
    try:
        for first in range(0, len(columns[0]), _AT_ONCE):
            rows = (column[first : first + _AT_ONCE] for column in columns)
            yield from executor.map(function, *rows, chunksize=4)
    except BrokenProcessPool as exc:
        raise TrainingError(
            f"a process that decodes pictures was killed ({exc}), perhaps for want of memory: {usable_cores()} of "
            "them run at once"
        ) from exc


class Look(NamedTuple):
    """A decoded picture's width and height, and a hash of both and its pixels."""

    size: tuple[int, int]
    digest: bytes


def look(source: Source, name: str) -> Look | str:
    """Decode a picture whole; where that fails, say why."""
    try:
        image = decode(read(source, name), name)
    except PictureError as exc:
        return exc.reason
    pixels = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
    pixels.update(image.tobytes())
    return Look(image.size, pixels.digest())


def seen(source: Source, name: str, view: View | None) -> NDArray[np.uint8]:
    """Decode what a network sees of a picture, as a device does, or all of it: [height, width, 3]."""
    try:
        return np.asarray(decode(read(source, name), name, view))
    except PictureError as exc:  # which can't be sent from a process
        raise TrainingError(f"{exc}; it could be read before") from exc


def part(source: Source, name: str, draw: tuple[int, int], view: View, least: float) -> NDArray[np.uint8]:
    """Decode a part of a picture, brought to the size of what a network sees: [side, side, 3].

    The part has sides of 3:4 to 4:3 (Szegedy et al., 2015), and a share from ``least`` to 1 of the largest such area.

    Args:
        source: the picture.
        name: what to call it in errors.
        draw: seed of the choice; where it ends with 0, what the network would see.
        view: what that is.
        least: the smallest share.

    """
    if not draw[-1]:
        return seen(source, name, view)
    image = Image.fromarray(seen(source, name, None))
    filtering = Image.Resampling.BICUBIC if view.bicubic else Image.Resampling.BILINEAR
    rng = np.random.default_rng(draw)
    most = min(image.width, image.height / _LEAST_RATIO) * min(image.height, image.width / _LEAST_RATIO)
    for _ in range(_TRIES):
        area = rng.uniform(least, 1) * most
        ratio = math.exp(rng.uniform(math.log(_LEAST_RATIO), -math.log(_LEAST_RATIO)))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= image.width and height <= image.height:
            left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
            box = (left, top, left + width, top + height)
            return np.asarray(image.resize((view.side, view.side), filtering, box))
    return np.asarray(square(image, view, name))
