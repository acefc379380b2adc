"""What schemathesis sends as a frame: SCHEMATHESIS_HOOKS=tests.load.hooks."""

from __future__ import annotations

import numpy as np
import schemathesis
from hypothesis import strategies as st

from splitwire.shared.bundle import default_bundle_path, load_bundle
from tests.cloud.application import frame_of

_RNG = np.random.default_rng(0)
_BUNDLE = load_bundle(default_bundle_path(), "device")
_LATENTS = [_RNG.normal(scale=8, size=(128, 5, 5)).astype(np.float32) for _ in range(3)]

schemathesis.openapi.media_type(
    "application/octet-stream",
    st.sampled_from(
        [
            frame_of(_BUNDLE, _LATENTS[:pictures], quality)
            for pictures in (1, 3)
            for quality in ("int8", "paper")
        ]
    ),
)
