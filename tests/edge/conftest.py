"""What several tests of the device need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.manifests import rewrite_manifest, rewrite_weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def bundle_without_fallback(bundle_copy: Path) -> Path:
    """The shipped bundle without the device's own classifier."""
    rewrite_manifest(bundle_copy, lambda values: values.update(fallback=False))
    return bundle_copy


@pytest.fixture
def bundle_with_fallback(bundle_copy: Path) -> Path:
    """The shipped bundle with a classifier that finds everything a frog, 99 % sure."""

    def change(name: str, values: NDArray[np.floating]) -> NDArray[np.floating]:
        if name.startswith("classes."):
            values = np.zeros_like(values)
            if name == "classes.layers.2.bias":
                values[6] = np.log(99 * 9)
        return values

    rewrite_weights(bundle_copy, change)
    return bundle_copy
