"""What several tests of the device need."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.manifests import rewrite_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle_without_fallback(bundle_copy: Path) -> Path:
    """The shipped bundle without the device's own classifier."""
    rewrite_manifest(
        bundle_copy, lambda values: values["files"].update(device=["device/convolutions.safetensors"])
    )
    return bundle_copy


@pytest.fixture
def bundle_with_fallback(bundle_without_fallback: Path) -> Path:
    """The shipped bundle with a classifier that finds everything a frog, 99 % sure."""
    file = "device/fallback.safetensors"
    weights = {
        "fallback.0.weight": np.zeros((4, 512), np.float16),
        "fallback.0.bias": np.ones(4, np.float16),
        "fallback.2.weight": np.zeros((10, 4), np.float16),
        "fallback.2.bias": np.zeros(10, np.float16),
    }
    weights["fallback.2.weight"][6] = np.log(99 * 9) / 4
    bundle = bundle_without_fallback
    save_file(weights, bundle / file)

    def add(values: dict[str, Any]) -> None:
        values["files"]["device"].append(file)
        values["sha256"][file] = hashlib.sha256((bundle / file).read_bytes()).hexdigest()

    rewrite_manifest(bundle, add)
    return bundle
