"""Whatever the bytes: a compact answer, or one of the named errors."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.edge.network.answer_check import predictions
from splitwire.shared.answer import (
    GUESS_BYTES,
    HEADER_BYTES,
    MAX_ANSWER_BYTES,
    Choice,
    CompactAnswer,
    compact,
    pack,
    unpack,
)
from splitwire.shared.errors import AnswerError, AnswerLengthInvalid, AnswerValueInvalid
from splitwire.shared.messages import Timings
from splitwire.shared.task import Classification

NO_TIME = Timings(decode=0, queue=0, tail=0)
times = st.floats(0, 65_504, width=16)
timings = st.builds(Timings, decode=times, queue=times, tail=times)


@st.composite
def answers(draw: st.DrawFn) -> CompactAnswer:
    guesses = draw(st.integers(1, 12))
    class_ids = st.lists(st.integers(0, 65_535), min_size=guesses, max_size=guesses, unique=True)
    shares = st.lists(st.integers(0, 65_535), min_size=guesses, max_size=guesses).map(
        lambda values: sorted(values, reverse=True)
    )
    picture = st.tuples(class_ids, shares).map(lambda pair: tuple(map(Choice, *pair)))
    pictures = draw(st.lists(picture, min_size=1, max_size=64))
    return CompactAnswer(pictures=tuple(pictures), timings_ms=draw(timings))


@given(answers())
def test_every_answer_survives_the_round_trip(answer: CompactAnswer) -> None:
    assert unpack(pack(answer)) == answer


@given(answers())
def test_an_answer_has_eight_bytes_and_four_a_guess(answer: CompactAnswer) -> None:
    guesses = sum(map(len, answer.pictures))
    assert len(pack(answer)) == HEADER_BYTES + GUESS_BYTES * guesses


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"\xa1\x01" + tail))
def test_random_bytes_are_an_answer_that_packs_to_the_same_bytes_or_a_named_error(data: bytes) -> None:
    with suppress(AnswerError):
        assert pack(unpack(data)) == data


@given(answers(), st.data())
def test_a_mutated_answer_reads_as_another_answer_or_a_named_error(
    answer: CompactAnswer, data: st.DataObject
) -> None:
    packed = bytearray(pack(answer))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(AnswerError):
        assert unpack(bytes(packed)) != answer


@given(answers(), st.data())
def test_an_answer_cut_short_never_reads_as_the_same_answer(
    answer: CompactAnswer, data: st.DataObject
) -> None:
    packed = pack(answer)
    with suppress(AnswerError):
        assert unpack(packed[: data.draw(st.integers(0, len(packed) - 1))]) != answer


@given(
    st.lists(st.lists(st.floats(0, 1, width=32), min_size=10, max_size=10), min_size=1, max_size=64),
    st.integers(1, 20),
    st.floats(0, 1e9),
)
def test_quantising_moves_a_probability_by_less_than_a_hundredth_of_a_percent(
    rows: list[list[float]], top: int, milliseconds: float
) -> None:
    probabilities = np.array(rows, dtype=np.float32)
    spent = Timings(decode=milliseconds, queue=milliseconds, tail=0)
    likeliest = Classification.likeliest(*Classification.rank(probabilities), top)
    answer = unpack(pack(compact(likeliest, spent)))
    classes = [str(number) for number in range(10)]
    for row, prediction in zip(probabilities, predictions(answer, classes), strict=True):
        assert len(prediction.top) == min(top, 10)
        assert prediction.probability == pytest.approx(float(row.max()), abs=1e-5)
        for guess in prediction.top:
            assert guess.label == str(guess.class_id)
            assert guess.probability == pytest.approx(float(row[guess.class_id]), abs=1e-5)
    assert answer.timings_ms.decode == pytest.approx(min(milliseconds, 65_504), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    "data",
    [
        b"\xa1",
        b"\xa1\x01" + bytes(6),
        b"\xa1\x00" + bytes(10),
        b"\xa1\x02" + bytes(10),
        b"\xa1\x01" + bytes(6 + 4 * 65),
        b"\xa1\xff" + bytes(MAX_ANSWER_BYTES),
    ],
)
def test_lengths_that_do_not_add_up_are_refused(data: bytes) -> None:
    with pytest.raises(AnswerLengthInvalid):
        unpack(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xa1\x01\x00\x80" + bytes(8),  # a zero with a sign
        b"\xa1\x01\x00\x7c" + bytes(8),  # infinite
        b"\xa1\x01\x01\x7e" + bytes(8),  # no number
        b"\xa1\x02" + bytes(6) + b"\x01\x00\x05\x00\x02\x00\x06\x00",  # the likelier one second
        b"\xa1\x02" + bytes(6) + b"\x01\x00\x05\x00\x01\x00\x04\x00",  # one class twice
    ],
)
def test_values_that_no_answer_has_are_refused(data: bytes) -> None:
    with pytest.raises(AnswerValueInvalid):
        unpack(data)


@pytest.mark.parametrize(
    "pictures",
    [
        (),
        ((),),
        ((Choice(0, 1),),) * 65,
        ((Choice(0, 1),), (Choice(0, 1), Choice(1, 1))),
        (tuple(Choice(number, 0) for number in range(256)),),
    ],
)
def test_numbers_of_pictures_and_guesses_that_have_no_form_are_not_written(
    pictures: tuple[tuple[Choice, ...], ...],
) -> None:
    with pytest.raises(AnswerLengthInvalid):
        pack(CompactAnswer(pictures=pictures, timings_ms=NO_TIME))


@pytest.mark.parametrize("choice", [Choice(-1, 0), Choice(65_536, 0), Choice(0, 65_536)])
def test_values_out_of_range_are_not_written(choice: Choice) -> None:
    with pytest.raises(AnswerValueInvalid):
        pack(CompactAnswer(pictures=((choice,),), timings_ms=NO_TIME))


@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf"), 70_000.0])
def test_times_that_have_no_form_are_not_written(time: float) -> None:
    spent = Timings(decode=time, queue=0, tail=0)
    with pytest.raises(AnswerValueInvalid):
        pack(CompactAnswer(pictures=((Choice(0, 1),),), timings_ms=spent))


def test_a_class_that_the_bundle_does_not_have_is_refused() -> None:
    answer = CompactAnswer(pictures=((Choice(10, 1),),), timings_ms=NO_TIME)
    with pytest.raises(AnswerValueInvalid):
        predictions(answer, ["a"] * 10)
