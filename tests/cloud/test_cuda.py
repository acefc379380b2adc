"""A GPU answers as the processor does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from cloud.engine import Engine

if TYPE_CHECKING:
    from shared.bundle import Bundle


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("quality", ["paper", "int8"])
def test_cuda_gives_the_processors_answers(cloud_bundle: Bundle, quality: str) -> None:
    fingerprint = cloud_bundle.manifest.fingerprint(quality)
    latents = np.random.default_rng(0).normal(scale=8, size=(64, 128, 5, 5)).astype(np.float32)
    on_cpu, on_cuda = (
        Engine([cloud_bundle], device).tail(fingerprint, latents) for device in ("cpu", "cuda")
    )
    assert np.allclose(on_cpu, on_cuda, atol=2e-3)
    assert (on_cpu.argmax(1) == on_cuda.argmax(1)).mean() >= 0.98
