"""Whatever the bytes: a frame, or one of the named errors."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.shared.errors import FrameError
from splitwire.shared.frame import HEADER_BYTES, MAX_SHORT_BYTES, Frame, largest_frame, pack, unpack

frames = st.builds(
    Frame,
    fingerprint=st.integers(0, 2**32 - 1),
    quality=st.integers(0, 127),
    payloads=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=64).map(tuple),
)


def repeated(part: bytes, size: int) -> bytes:
    return (part * (size // len(part) + 1))[:size]


payloads = st.builds(
    repeated,
    st.binary(min_size=1, max_size=20),
    st.integers(1, 300) | st.integers(16_300, 16_500) | st.sampled_from([100_000, 2_097_151]),
)
long_frames = st.builds(
    Frame,
    fingerprint=st.integers(0, 2**32 - 1),
    quality=st.integers(0, 127),
    payloads=st.lists(payloads, min_size=1, max_size=4).map(tuple),
)
long_bytes = st.builds(
    lambda header, rest, size: b"\x52" + header + repeated(rest, size),
    st.binary(min_size=5, max_size=200),
    st.binary(min_size=1, max_size=20),
    st.integers(0, 40_000),
)


@given(frames | long_frames)
def test_every_frame_survives_the_round_trip(frame: Frame) -> None:
    assert unpack(pack(frame)) == frame


@given(long_frames)
def test_a_frame_is_of_version_2_where_a_payload_needs_that_and_only_there(frame: Frame) -> None:
    packed, longest = pack(frame), max(map(len, frame.payloads))
    assert packed[0] == (0x52 if longest > MAX_SHORT_BYTES else 0x51)
    assert len(packed) <= largest_frame(longest)
    other = bytes([packed[0] ^ 3]) + packed[1:]
    with pytest.raises(FrameError):
        unpack(other)


@given(frames)
def test_overhead_is_six_bytes_for_one_and_at_most_two_more_a_picture(frame: Frame) -> None:
    overhead = len(pack(frame)) - sum(map(len, frame.payloads))
    count = len(frame.payloads)
    assert overhead == HEADER_BYTES if count == 1 else overhead <= HEADER_BYTES + 1 + 2 * (count - 1)


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda tail: b"\x51" + tail) | long_bytes)
def test_random_bytes_are_a_frame_that_packs_to_the_same_bytes_or_a_named_error(data: bytes) -> None:
    with suppress(FrameError):
        assert pack(unpack(data)) == data


@given(frames | long_frames, st.data())
def test_a_frame_cut_short_never_reads_as_the_same_frame(frame: Frame, data: st.DataObject) -> None:
    packed = pack(frame)
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    with suppress(FrameError):
        assert unpack(cut) != frame


@given(frames | long_frames, st.data())
def test_a_mutated_frame_reads_as_another_frame_or_a_named_error(frame: Frame, data: st.DataObject) -> None:
    packed = bytearray(pack(frame))
    position = data.draw(st.integers(0, len(packed) - 1))
    packed[position] ^= data.draw(st.integers(1, 255))
    with suppress(FrameError):
        assert unpack(bytes(packed)) != frame
