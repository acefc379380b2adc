"""Committed frames decode to committed latents, against tables committed beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from shared.codecs.float32 import Float32
from shared.codecs.int8 import Int8
from shared.frame import pack, unpack
from tests.golden import FINGERPRINT, FOLDER, SHAPE

if TYPE_CHECKING:
    from shared.codecs.abc import Codec


@pytest.mark.parametrize("codec", [Float32(SHAPE), Int8(SHAPE, np.load(FOLDER / "int8.scales.npy"))])
def test_every_codecs_golden_frame_decodes_to_the_committed_latents(codec: Codec) -> None:
    data = (FOLDER / f"{codec.name}.frame").read_bytes()
    frame = unpack(data)
    assert frame.fingerprint == FINGERPRINT
    latents = np.stack([codec.decode(payload) for payload in frame.payloads])
    assert np.array_equal(latents, np.load(FOLDER / f"{codec.name}.latents.npy"))
    assert pack(frame) == data
    assert tuple(codec.encode(latent) for latent in latents) == frame.payloads
