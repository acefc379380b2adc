"""Looking up tensors that came from a file: present, of the right shape, finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitwire.shared.errors import TensorInvalid

Tensors = Mapping[str, NDArray[Any]]
"""Name -> array."""


def tensor(tensors: Tensors, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Find one of some tensors; None in ``shape``: any size but 0.

    Raises:
        TensorInvalid: it is absent, of another shape, or not all finite.

    """
    values = tensors.get(name)
    if values is None:
        raise TensorInvalid(f"there is no tensor {name!r}")
    fits = len(values.shape) == len(shape) and all(
        expected in (None, size) for size, expected in zip(values.shape, shape, strict=True)
    )
    if not fits or values.size == 0 or not np.isfinite(values).all():
        raise TensorInvalid(f"tensor {name!r} is unusable")
    return values
