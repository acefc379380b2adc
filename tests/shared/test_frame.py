"""The frame's bytes, one by one, and what is refused."""

from __future__ import annotations

import pytest

from splitwire.shared import errors
from splitwire.shared.frame import MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES, Frame, pack, unpack

ONE = Frame(fingerprint=0x04030201, quality=5, payloads=(b"abc",))
MANY = Frame(fingerprint=0x04030201, quality=5, payloads=(b"a" * 200, b"b", b"cd"))


def test_one_picture_costs_six_bytes_of_header() -> None:
    assert pack(ONE) == bytes([0x51, 1, 2, 3, 4, 5]) + b"abc"


def test_many_pictures_share_the_header_and_the_last_length_is_implied() -> None:
    header = bytes([0x51, 1, 2, 3, 4, 0x85, 3, 0xC8, 0x01, 0x01])
    assert pack(MANY) == header + b"a" * 200 + b"b" + b"cd"


@pytest.mark.parametrize("frame", [ONE, MANY])
def test_unpack_reads_what_pack_wrote(frame: Frame) -> None:
    assert unpack(pack(frame)) == frame


def test_the_largest_frame_has_the_stated_size() -> None:
    frame = Frame(fingerprint=0, quality=0, payloads=(bytes(MAX_PAYLOAD_BYTES),) * 64)
    assert len(pack(frame)) == MAX_FRAME_BYTES
    assert unpack(pack(frame)) == frame


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", errors.FrameTruncated),
        (b"\x51", errors.FrameTruncated),
        (b"\x51\x01\x02\x03\x04\x05", errors.FrameTruncated),
        (b"\x61\x01\x02\x03\x04\x05a", errors.FrameMagicInvalid),
        (b"\x52\x01\x02\x03\x04\x05a", errors.FrameVersionUnknown),
        (b"\x51\x01\x02\x03\x04\x05" + bytes(MAX_PAYLOAD_BYTES + 1), errors.FrameLengthInvalid),
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
        (Frame(fingerprint=1 << 32, quality=0, payloads=(b"a",)), errors.FrameLengthInvalid),
        (Frame(fingerprint=0, quality=128, payloads=(b"a",)), errors.FrameLengthInvalid),
    ],
)
def test_pack_refuses_what_no_frame_can_say(frame: Frame, error: type[Exception]) -> None:
    with pytest.raises(error):
        pack(frame)
