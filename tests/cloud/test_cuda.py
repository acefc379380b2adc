"""A GPU answers as the processor does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from splitwire.cloud.inference.engine import Engine
from splitwire.shared.frame import unpack
from tests.cloud.application import frame_of

if TYPE_CHECKING:
    from splitwire.shared.bundle import Bundle


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("quality", ["paper", "int8", "q1"])
def test_cuda_gives_the_processors_answers(cloud_bundle: Bundle, device_bundle: Bundle, quality: str) -> None:
    latents = np.random.default_rng(0).normal(scale=8, size=(64, 128, 5, 5)).astype(np.float32)
    frame = unpack(frame_of(device_bundle, list(latents), quality))
    engines = [Engine([cloud_bundle], device) for device in ("cpu", "cuda")]
    on_cpu, on_cuda = (
        engine.classify([engine.loaded(frame.fingerprint).decode(frame)]) for engine in engines
    )
    assert np.allclose(on_cpu, on_cuda, atol=2e-3)
    assert (on_cpu.argmax(1) == on_cuda.argmax(1)).mean() >= 0.98
