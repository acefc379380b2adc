"""One set of tests over every codec."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shared.codecs.float32 import Float32
from shared.codecs.int8 import Int8
from shared.errors import LatentInvalid, PayloadInvalid
from shared.frame import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.codecs.abc import Codec

SHAPE = (4, 5, 5)
SCALES = np.array([0.01, 0.5, 1.0, 30.0], dtype=np.float32)
CODECS: list[Codec] = [Float32(SHAPE), Int8(SHAPE, SCALES)]

every_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
latents = arrays.arrays(np.float32, SHAPE, elements=st.floats(-1e6, 1e6, width=32))


@every_codec
@given(latent=latents)
def test_decoding_gives_a_latent_that_encodes_to_the_same_payload(
    codec: Codec, latent: NDArray[np.float32]
) -> None:
    payload = codec.encode(latent)
    y_hat = codec.decode(payload)
    assert y_hat.shape == SHAPE
    assert y_hat.dtype == np.float32
    assert codec.encode(y_hat) == payload


@every_codec
@given(payload=st.binary(min_size=100, max_size=100) | st.binary(min_size=400, max_size=400) | st.binary())
def test_random_bytes_give_a_finite_latent_or_the_named_error(codec: Codec, payload: bytes) -> None:
    with suppress(PayloadInvalid):
        assert np.isfinite(codec.decode(payload)).all()


@every_codec
@given(latent=latents, change=st.integers(-20, 20).filter(bool))
def test_a_payload_of_another_length_is_refused(
    codec: Codec, latent: NDArray[np.float32], change: int
) -> None:
    payload = codec.encode(latent)
    changed = payload[:change] if change < 0 else payload + bytes(change)
    with pytest.raises(PayloadInvalid):
        codec.decode(changed)


@every_codec
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_latents_that_are_not_finite_are_refused(codec: Codec, value: float) -> None:
    latent = np.zeros(SHAPE, dtype=np.float32)
    latent[0, 0, 0] = value
    with pytest.raises(LatentInvalid):
        codec.encode(latent)


@every_codec
def test_latents_of_another_shape_are_refused(codec: Codec) -> None:
    with pytest.raises(LatentInvalid):
        codec.encode(np.zeros((5, 5, 4), dtype=np.float32))


@every_codec
def test_payloads_of_a_full_latent_fit_in_a_frame(codec: Codec) -> None:
    full = type(codec)((128, 5, 5), *([np.ones(128, dtype=np.float32)] if isinstance(codec, Int8) else []))
    assert len(full.encode(np.zeros((128, 5, 5), dtype=np.float32))) <= MAX_PAYLOAD_BYTES


@given(latent=latents)
def test_float32_loses_nothing(latent: NDArray[np.float32]) -> None:
    assert np.array_equal(CODECS[0].decode(CODECS[0].encode(latent)), latent)


@given(latent=latents)
def test_int8_is_off_by_at_most_half_a_step_inside_its_range(latent: NDArray[np.float32]) -> None:
    scales = SCALES.reshape(-1, 1, 1)
    clamped = np.clip(latent, -127 * scales, 127 * scales)
    error = np.abs(CODECS[1].decode(CODECS[1].encode(latent)) - clamped)
    assert (error <= 0.5001 * scales + 1e-6).all()


def test_float32_refuses_values_that_are_not_finite() -> None:
    payload = np.full(SHAPE, np.nan, dtype="<f4").tobytes()
    with pytest.raises(PayloadInvalid):
        CODECS[0].decode(payload)


def test_int8_refuses_the_unused_symbol() -> None:
    with pytest.raises(PayloadInvalid):
        CODECS[1].decode(b"\x80" * 100)
