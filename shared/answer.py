"""The compact answer: what a cloud says of a frame's pictures, in few bytes.

    0     magic | version
    1     guesses a picture, 1 to 255
    2-7   milliseconds for decoding, in the queue, in the tail: a half-precision float each
    8-    for every picture its guesses, likeliest first: class and probability, two bytes each

docs/wire-format.md specifies every byte, and what is checked and why.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from splitwire.shared.errors import (
    AnswerLengthInvalid,
    AnswerMagicInvalid,
    AnswerValueInvalid,
    AnswerVersionUnknown,
)
from splitwire.shared.frame import MAX_PICTURES
from splitwire.shared.messages import Likely, Timings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONTENT_TYPE = "application/vnd.splitwire.answer"
MAGIC = 0xA
VERSION = 1
HEADER_BYTES = 8
GUESS_BYTES = 4
MAX_GUESSES = 255
MAX_ANSWER_BYTES = HEADER_BYTES + MAX_PICTURES * MAX_GUESSES * GUESS_BYTES
"""The longest valid answer: anything longer can be refused unread."""

_HEADER = struct.Struct("<BB3e")
MOST_SHARE = 65_535
"""A probability of 1."""
_LONGEST_MS = 65_504.0


class Choice(NamedTuple):
    """A class's number, 0 to 65,535, and its probability in units of 1/65,535."""

    class_id: int
    share: int


@dataclass(frozen=True, kw_only=True)
class CompactAnswer:
    """``pictures``: for each, in the frame's order, equally many choices, likeliest first.

    ``timings_ms``: 0 to 65,504 each; half precision on the wire, so of three digits.
    """

    pictures: tuple[tuple[Choice, ...], ...]
    timings_ms: Timings


def compact(pictures: Iterable[Iterable[Likely]], timings: Timings) -> CompactAnswer:
    """Quantise every picture's likeliest classes."""
    return CompactAnswer(
        pictures=tuple(
            tuple(Choice(each.class_id, round(each.probability * MOST_SHARE)) for each in picture)
            for picture in pictures
        ),
        timings_ms=Timings(**{name: min(time, _LONGEST_MS) for name, time in timings}),
    )


def pack(answer: CompactAnswer) -> bytes:
    """Write a compact answer.

    Raises:
        AnswerLengthInvalid: not 1 to 64 pictures with equally many choices, 1 to 255.
        AnswerValueInvalid: choices out of range, out of order or of one class; a time that is not
            0 to 65,504 ms.

    """
    guesses = len(answer.pictures[0]) if answer.pictures else 0
    if not 1 <= len(answer.pictures) <= MAX_PICTURES:
        raise AnswerLengthInvalid(f"an answer has 1 to {MAX_PICTURES} pictures, not {len(answer.pictures)}")
    if not 1 <= guesses <= MAX_GUESSES or any(len(picture) != guesses for picture in answer.pictures):
        raise AnswerLengthInvalid(f"pictures have 1 to {MAX_GUESSES} guesses, all the same number")
    numbers = [number for picture in answer.pictures for choice in picture for number in choice]
    if not all(0 <= number <= MOST_SHARE for number in numbers):
        raise AnswerValueInvalid("classes and probabilities need 16 bits")
    check_order(answer.pictures)
    times = tuple(time for _, time in answer.timings_ms)
    if not all(0 <= time <= _LONGEST_MS for time in times):
        raise AnswerValueInvalid(f"times have 0 to {_LONGEST_MS:,.0f} ms")
    # Adding zero turns the zero with a sign into the one without.
    header = _HEADER.pack(MAGIC << 4 | VERSION, guesses, *(time + 0.0 for time in times))
    return header + struct.pack(f"<{len(numbers)}H", *numbers)


def unpack(data: bytes) -> CompactAnswer:
    """Read a compact answer.

    Raises:
        AnswerError: one of its kinds for any bytes that are not a valid answer; nothing else.

    """
    if not data:
        raise AnswerLengthInvalid("no bytes")
    if data[0] >> 4 != MAGIC:
        raise AnswerMagicInvalid(data[0] >> 4)
    if data[0] & 0xF != VERSION:
        raise AnswerVersionUnknown(data[0] & 0xF, VERSION)
    if not HEADER_BYTES < len(data) <= MAX_ANSWER_BYTES:
        raise AnswerLengthInvalid(
            f"an answer has {HEADER_BYTES + GUESS_BYTES} to {MAX_ANSWER_BYTES} bytes, not {len(data)}"
        )
    guesses = data[1]
    count, rest = divmod(len(data) - HEADER_BYTES, guesses * GUESS_BYTES) if guesses else (0, 0)
    if rest or not 1 <= count <= MAX_PICTURES:
        raise AnswerLengthInvalid(f"{len(data)} bytes don't hold whole pictures of {guesses} guesses")
    _, _, decode, queue, tail = _HEADER.unpack_from(data)
    # The bits, since a zero can have a sign; infinities and what is no number come after the largest.
    if any(bits > 0x7BFF for bits in struct.unpack_from("<3H", data, 2)):
        raise AnswerValueInvalid("a time is negative or no number")
    choices = [Choice(*pair) for pair in struct.iter_unpack("<HH", data[HEADER_BYTES:])]
    pictures = tuple(tuple(choices[at : at + guesses]) for at in range(0, len(choices), guesses))
    check_order(pictures)
    return CompactAnswer(pictures=pictures, timings_ms=Timings(decode=decode, queue=queue, tail=tail))


def check_order(pictures: Iterable[Sequence[tuple[int, float]]]) -> None:
    """Check each picture's classes and probabilities: the likeliest first, none twice.

    Raises:
        AnswerValueInvalid: they are not.

    """
    for picture in pictures:
        if any(first[1] < second[1] for first, second in pairwise(picture)):
            raise AnswerValueInvalid("a less likely class comes first")
        if len({class_id for class_id, _ in picture}) != len(picture):
            raise AnswerValueInvalid("a class comes twice")
