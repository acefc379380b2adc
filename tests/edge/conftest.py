"""What several tests of the device need."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundle_without_fallback(bundle_copy: Path) -> Path:
    """The shipped bundle without the device's own classifier."""
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["files"]["device"] = [name for name in manifest["files"]["device"] if "fallback" not in name]
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
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
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["device"].append(file)
    manifest["sha256"][file] = hashlib.sha256((bundle / file).read_bytes()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle
