"""The frame's bytes, one by one, and what is refused."""

from __future__ import annotations

import pytest

from splitwire.shared import errors
from splitwire.shared.frame import (
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOADS_BYTES,
    MAX_SHORT_BYTES,
    Frame,
    largest_frame,
    pack,
    unpack,
)

ONE = Frame(fingerprint=0x04030201, quality=5, payloads=(b"abc",))
MANY = Frame(fingerprint=0x04030201, quality=5, payloads=(b"a" * 200, b"b", b"cd"))
LONG = Frame(fingerprint=0x04030201, quality=5, payloads=(b"a" * 16_384,))
MANY_LONG = Frame(fingerprint=0x04030201, quality=5, payloads=(b"a" * 16_384, b"b" * 200, b"cd"))
ONE_LONG = b"\x52\x01\x02\x03\x04\x85\x02"
"""The header of two pictures in version 2, to which lengths are added."""


def test_one_picture_costs_six_bytes_of_header() -> None:
    assert pack(ONE) == bytes([0x51, 1, 2, 3, 4, 5]) + b"abc"


def test_many_pictures_share_the_header_and_the_last_length_is_implied() -> None:
    header = bytes([0x51, 1, 2, 3, 4, 0x85, 3, 0xC8, 0x01, 0x01])
    assert pack(MANY) == header + b"a" * 200 + b"b" + b"cd"


def test_a_payload_over_16383_bytes_makes_it_version_2_with_lengths_of_up_to_three_bytes() -> None:
    assert pack(LONG) == bytes([0x52, 1, 2, 3, 4, 5]) + b"a" * 16_384
    header = bytes([0x52, 1, 2, 3, 4, 0x85, 3, 0x80, 0x80, 0x01, 0xC8, 0x01])
    assert pack(MANY_LONG) == header + b"a" * 16_384 + b"b" * 200 + b"cd"


@pytest.mark.parametrize("frame", [ONE, MANY, LONG, MANY_LONG])
def test_unpack_reads_what_pack_wrote(frame: Frame) -> None:
    assert unpack(pack(frame)) == frame


def test_the_largest_frame_has_the_stated_size() -> None:
    for size, count in ((MAX_SHORT_BYTES, 64), (51_200, 64), (MAX_PAYLOADS_BYTES // 64, 64)):
        frame = Frame(fingerprint=0, quality=0, payloads=(bytes(size),) * count)
        assert len(pack(frame)) == largest_frame(size)
        assert unpack(pack(frame)) == frame
    assert largest_frame(MAX_SHORT_BYTES) == 1_048_645
    assert largest_frame(MAX_PAYLOAD_BYTES) == 8_388_804


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", errors.FrameTruncated),
        (b"\x51", errors.FrameTruncated),
        (b"\x51\x01\x02\x03\x04\x05", errors.FrameTruncated),
        (b"\x61\x01\x02\x03\x04\x05a", errors.FrameMagicInvalid),
        (b"\x53\x01\x02\x03\x04\x05a", errors.FrameVersionUnknown),
        (b"\x51\x01\x02\x03\x04\x05" + bytes(MAX_SHORT_BYTES + 1), errors.FrameLengthInvalid),
        (b"\x52\x01\x02\x03\x04\x05" + bytes(MAX_SHORT_BYTES), errors.FrameLengthInvalid),
        (b"\x52\x01\x02\x03\x04\x05" + bytes(MAX_PAYLOAD_BYTES + 1), errors.FrameLengthInvalid),
        (ONE_LONG + b"\x01" + bytes(1 + MAX_SHORT_BYTES), errors.FrameLengthInvalid),
        (ONE_LONG + b"\xff\xff", errors.FrameTruncated),
        (ONE_LONG + b"\xff\xff\x7f" + bytes(MAX_PAYLOAD_BYTES), errors.FrameTruncated),
        (ONE_LONG + b"\xff\xff\xff\x01" + bytes(9), errors.FrameLengthInvalid),
        (ONE_LONG + b"\x81\x80\x00" + bytes(1 << 15), errors.FrameLengthInvalid),
        (
            b"\x52\x01\x02\x03\x04\x85\x05" + b"\xff\xff\x7f" * 4 + bytes(5 * MAX_PAYLOAD_BYTES),
            errors.FrameLengthInvalid,
        ),
        (b"\x51\x01\x02\x03\x04\x85\x00a", errors.FrameCountInvalid),
        (b"\x51\x01\x02\x03\x04\x85\x01a", errors.FrameCountInvalid),
        (b"\x51\x01\x02\x03\x04\x85\x41" + b"\x01" * 64 + b"a" * 65, errors.FrameCountInvalid),
        (b"\x51\x01\x02\x03\x04\x85\x02", errors.FrameTruncated),
        (b"\x51\x01\x02\x03\x04\x85\x02\x81", errors.FrameTruncated),
        (b"\x51\x01\x02\x03\x04\x85\x02\x01a", errors.FrameTruncated),
        (b"\x51\x01\x02\x03\x04\x85\x02\x00a", errors.FrameLengthInvalid),
        (b"\x51\x01\x02\x03\x04\x85\x02\x81\x00ab", errors.FrameLengthInvalid),
        (b"\x51\x01\x02\x03\x04\x85\x02\x81\x80\x01ab", errors.FrameLengthInvalid),
    ],
)
def test_invalid_bytes_give_the_error_that_names_the_check(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        unpack(data)


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (Frame(fingerprint=0, quality=0, payloads=()), errors.FrameCountInvalid),
        (Frame(fingerprint=0, quality=0, payloads=(b"a",) * 65), errors.FrameCountInvalid),
        (Frame(fingerprint=0, quality=0, payloads=(b"",)), errors.FrameLengthInvalid),
        (
            Frame(fingerprint=0, quality=0, payloads=(bytes(MAX_PAYLOAD_BYTES + 1),)),
            errors.FrameLengthInvalid,
        ),
        (
            Frame(fingerprint=0, quality=0, payloads=(bytes(1 << 17),) * 64 + (b"a",)),
            errors.FrameCountInvalid,
        ),
        (
            Frame(fingerprint=0, quality=0, payloads=(bytes((1 << 17) + 1), *(bytes(1 << 17),) * 63)),
            errors.FrameLengthInvalid,
        ),
        (Frame(fingerprint=1 << 32, quality=0, payloads=(b"a",)), errors.FrameLengthInvalid),
        (Frame(fingerprint=0, quality=128, payloads=(b"a",)), errors.FrameLengthInvalid),
    ],
)
def test_pack_refuses_what_no_frame_can_say(frame: Frame, error: type[Exception]) -> None:
    with pytest.raises(error):
        pack(frame)
