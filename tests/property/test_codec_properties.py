"""One set of tests over every codec."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from splitwire.shared.codecs import arithmetic
from splitwire.shared.codecs.arithmetic import TOTAL, Table
from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.codecs.float32 import Float32
from splitwire.shared.codecs.half import Half
from splitwire.shared.codecs.int8 import Int8
from splitwire.shared.errors import LatentInvalid, PayloadInvalid, TensorInvalid
from splitwire.shared.frame import MAX_PICTURES, MAX_SHORT_BYTES, Frame, pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.codecs.abc import Codec

SHAPE = (4, 5, 5)
SCALES = np.array([0.01, 0.5, 1.0, 30.0], dtype=np.float32)


def factorised() -> Factorised:
    """100 numbers; tables of one, few and many symbols, even and skewed."""
    kinds = ([TOTAL], [1, TOTAL - 1], [TOTAL - 2, 1, 1], [TOTAL // 64] * 64)
    return Factorised(
        (100,), np.tile([0, -1, 5, -32], 25), [Table(frequencies) for frequencies in kinds * 25]
    )


def factorised_maps() -> Factorised:
    """4 maps of 5x5 numbers, each with its table."""
    kinds = ([TOTAL], [1, TOTAL - 1], [TOTAL - 2, 1, 1], [TOTAL // 64] * 64)
    return Factorised(SHAPE, np.array([0, -1, 5, -32]), [Table(frequencies) for frequencies in kinds])


CODECS: list[Codec] = [Float32(SHAPE), Half(SHAPE), Int8(SHAPE, SCALES), factorised(), factorised_maps()]
every_codec = pytest.mark.parametrize(
    "codec", CODECS, ids=lambda codec: f"{codec.id}-{len(codec.latent_shape)}"
)
latents = arrays.arrays(np.float32, SHAPE, elements=st.floats(-1e6, 1e6, width=32))
largest = arrays.arrays(
    np.float32, SHAPE, elements=st.floats(allow_nan=False, allow_infinity=False, width=32)
)


def payload_of(codec: Codec, latent: NDArray[np.float32]) -> bytes:
    return codec.encode(codec.quantise(latent.reshape(codec.latent_shape)))


def round_trip(codec: Codec, latent: NDArray[np.float32]) -> NDArray[np.float32]:
    return codec.dequantise(codec.decode(payload_of(codec, latent)))


@every_codec
@given(latent=latents)
def test_a_payload_decodes_to_the_symbols_it_was_made_of(codec: Codec, latent: NDArray[np.float32]) -> None:
    symbols = codec.quantise(latent.reshape(codec.latent_shape))
    assert symbols.shape == codec.latent_shape
    payload = codec.encode(symbols)
    assert len(payload) >= 1
    decoded = codec.decode(payload)
    assert decoded.dtype == symbols.dtype
    assert np.array_equal(decoded, symbols)
    y_hat = codec.dequantise(decoded)
    assert y_hat.shape == codec.latent_shape
    assert y_hat.dtype == np.float32
    assert np.isfinite(y_hat).all()


@every_codec
@given(latent=largest)
@example(latent=np.full(SHAPE, np.finfo(np.float32).max))
@example(latent=np.full(SHAPE, np.finfo(np.float32).min))
@example(latent=np.full(SHAPE, np.finfo(np.float32).tiny))
def test_any_finite_latent_is_clamped(codec: Codec, latent: NDArray[np.float32]) -> None:
    symbols = codec.quantise(latent.reshape(codec.latent_shape))
    assert np.array_equal(codec.decode(codec.encode(symbols)), symbols)


@every_codec
@given(count=st.integers(1, MAX_PICTURES), seed=st.integers(0, 2**32 - 1))
def test_payloads_come_out_of_a_frame_of_any_count_as_the_symbols_they_were(
    codec: Codec, count: int, seed: int
) -> None:
    latents = np.random.default_rng(seed).normal(0, 9, (count, *SHAPE)).astype(np.float32)
    payloads = tuple(payload_of(codec, latent) for latent in latents)
    frame = unpack(pack(Frame(fingerprint=seed, quality=count, payloads=payloads)))
    assert len(frame.payloads) == count
    for latent, payload in zip(latents, frame.payloads, strict=True):
        symbols = codec.quantise(latent.reshape(codec.latent_shape))
        assert np.array_equal(codec.decode(payload), symbols)


@every_codec
@given(payload=st.one_of(*(st.binary(min_size=size, max_size=size) for size in (100, 200, 400)), st.binary()))
def test_random_bytes_are_the_one_payload_of_some_symbols_or_give_the_named_error(
    codec: Codec, payload: bytes
) -> None:
    with suppress(PayloadInvalid):
        symbols = codec.decode(payload)
        assert codec.encode(symbols) == payload
        assert np.isfinite(codec.dequantise(symbols)).all()


@every_codec
@given(latent=latents, extension=st.binary(min_size=1, max_size=20))
def test_an_extended_payload_never_means_the_same_symbols(
    codec: Codec, latent: NDArray[np.float32], extension: bytes
) -> None:
    payload = payload_of(codec, latent)
    with suppress(PayloadInvalid):
        assert not np.array_equal(codec.decode(payload + extension), codec.decode(payload))


@pytest.mark.parametrize("codec", CODECS[:3], ids=lambda codec: codec.id)
@given(latent=latents, change=st.integers(-20, 20).filter(bool))
def test_codecs_of_fixed_length_refuse_another(
    codec: Codec, latent: NDArray[np.float32], change: int
) -> None:
    payload = payload_of(codec, latent)
    changed = payload[:change] if change < 0 else payload + bytes(change)
    with pytest.raises(PayloadInvalid):
        codec.decode(changed)


@every_codec
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_latents_that_are_not_finite_are_refused(codec: Codec, value: float) -> None:
    latent = np.zeros(SHAPE, dtype=np.float32)
    latent[0, 0, 0] = value
    with pytest.raises(LatentInvalid, match="not finite"):
        payload_of(codec, latent)


@every_codec
def test_latents_of_another_shape_are_refused(codec: Codec) -> None:
    with pytest.raises(LatentInvalid, match="shape"):
        codec.quantise(np.zeros((5, 5, 4), dtype=np.float32))


def test_payloads_of_a_full_latent_fit_in_a_frame() -> None:
    full = (128, 5, 5)
    for codec in (Float32(full), Half(full), Int8(full, np.ones(128, dtype=np.float32))):
        assert len(payload_of(codec, np.zeros(full, dtype=np.float32))) <= MAX_SHORT_BYTES


@given(latent=latents)
def test_float32_loses_nothing(latent: NDArray[np.float32]) -> None:
    assert np.array_equal(round_trip(CODECS[0], latent), latent)


@given(latent=latents)
def test_int8_is_off_by_at_most_half_a_step_inside_its_range(latent: NDArray[np.float32]) -> None:
    scales = SCALES.reshape(-1, 1, 1)
    clamped = np.clip(latent, -127 * scales, 127 * scales)
    error = np.abs(round_trip(Int8(SHAPE, SCALES), latent) - clamped)
    assert (error <= 0.5001 * scales + 1e-6).all()


@pytest.mark.parametrize(("codec", "dtype"), [(Float32(SHAPE), "<f4"), (Half(SHAPE), "<f2")])
def test_floats_that_are_not_finite_are_refused(codec: Codec, dtype: str) -> None:
    with pytest.raises(PayloadInvalid):
        codec.decode(np.full(SHAPE, np.nan, dtype=dtype).tobytes())


@given(latent=latents)
def test_half_clamps_and_rounds(latent: NDArray[np.float32]) -> None:
    clamped = np.clip(latent, -65504, 65504)
    assert np.allclose(round_trip(Half(SHAPE), latent), clamped, rtol=2**-11, atol=2**-24)


def test_int8_refuses_the_unused_symbol() -> None:
    with pytest.raises(PayloadInvalid):
        Int8(SHAPE, SCALES).decode(b"\x80" * 100)


def test_factorised_clamps_to_its_tables() -> None:
    for value, clamped in ((1e6, [0, 0, 7, 31]), (-1e6, [0, -1, 5, -32])):
        assert factorised().quantise(np.full(100, value, dtype=np.float32))[:4].tolist() == clamped


small = st.lists(st.integers(1, 1000), min_size=1, max_size=40)
large = st.integers(50, 3000).map(lambda count: [1] * count)
tables = st.lists(st.one_of(small, small, large), min_size=1, max_size=40).map(
    lambda rows: [Table([*row[:-1], TOTAL - sum(row[:-1])]) for row in rows]
)
"""Neighbours that can be read at once, and some that can't."""


@given(tables=tables, data=st.data())
def test_arithmetic_coding_is_at_most_a_byte_over_the_information(
    tables: list[Table], data: st.DataObject
) -> None:
    symbols = [data.draw(st.integers(0, len(table.frequencies) - 1)) for table in tables]
    payload = arithmetic.encode(symbols, tables)
    information = sum(
        math.log2(TOTAL / table.frequencies[symbol]) for symbol, table in zip(symbols, tables, strict=True)
    )
    assert arithmetic.Decoder(tables).decode(payload) == symbols
    assert len(payload) <= max(1, information / 8 + 1.0001)
    assert len(payload) <= arithmetic.longest(len(tables))


@given(tables=tables, payload=st.binary(min_size=1, max_size=90))
def test_arithmetic_decoding_accepts_only_the_one_spelling(tables: list[Table], payload: bytes) -> None:
    with suppress(ValueError):
        assert arithmetic.encode(arithmetic.Decoder(tables).decode(payload), tables) == payload


@pytest.mark.parametrize("frequencies", [[], [0, TOTAL], [TOTAL - 1], [TOTAL + 1, -1]])
def test_tables_that_do_not_add_up_are_refused(frequencies: list[int]) -> None:
    with pytest.raises(ValueError, match="add up"):
        Table(frequencies)


def test_tables_of_maps_count_all_numbers_of_a_map() -> None:
    latents = np.zeros((2, 3, 4, 4), dtype=np.float32)
    latents[:, 1] = 7
    latents[1, 2, 3, 3] = -2
    tables = Factorised.fit(latents)
    assert tables["smallest"].tolist() == [-1, 6, -3]
    codec = Factorised.from_tables((3, 4, 4), tables)
    payload = codec.encode(codec.quantise(latents[1]))
    assert np.array_equal(codec.dequantise(codec.decode(payload)), latents[1])
    assert len(payload) < 6, "nearly certain numbers take no room"
    with pytest.raises(TensorInvalid, match="over 65536 numbers"):
        Factorised.from_tables((3, 4000, 4000), tables)
