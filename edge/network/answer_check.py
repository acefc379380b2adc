"""What a device makes of an answer: its classes named, and all of it checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from splitwire.shared.answer import MOST_SHARE, check_order
from splitwire.shared.errors import AnswerLengthInvalid, AnswerValueInvalid
from splitwire.shared.messages import Prediction
from splitwire.shared.task import Classification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splitwire.shared.answer import CompactAnswer
    from splitwire.shared.messages import Timings


def predictions(answer: CompactAnswer, classes: Sequence[str]) -> tuple[Prediction, ...]:
    """Name the classes, which both sides have from the bundle.

    Raises:
        AnswerValueInvalid: a class that the bundle does not have.

    """
    named: list[Prediction] = []
    for picture in answer.pictures:
        if max(choice.class_id for choice in picture) >= len(classes):
            raise AnswerValueInvalid(f"a class over {len(classes) - 1}")
        likely = [(choice.class_id, choice.share / MOST_SHARE) for choice in picture]
        named.append(Prediction.model_validate(Classification(classes).named(likely)))
    return tuple(named)


def check(
    found: Sequence[Prediction], timings: Timings, *, pictures: int, top: int, classes: Sequence[str]
) -> None:
    """Check an answer, whichever form it came in, against what was asked and the bundle's classes.

    Raises:
        AnswerLengthInvalid: not an answer a picture, or not ``top`` guesses where there are so many classes.
        AnswerValueInvalid: classes, labels, probabilities or times that don't fit.

    """
    if len(found) != pictures:
        raise AnswerLengthInvalid(f"{len(found)} answers for {pictures} pictures")
    guesses = min(top, len(classes))
    for each in found:
        if len(each.top) != guesses:
            raise AnswerLengthInvalid(f"{len(each.top)} guesses, {guesses} were asked for")
        for guess in each.top:
            if not 0 <= guess.class_id < len(classes):
                raise AnswerValueInvalid(f"a class over {len(classes) - 1}")
            if guess.label != classes[guess.class_id]:
                raise AnswerValueInvalid(f"class {guess.class_id} with another's label")
            if not 0 <= guess.probability <= 1:
                raise AnswerValueInvalid("a probability outside of 0 to 1")
        first = each.top[0]
        if (each.label, each.class_id, each.probability) != (first.label, first.class_id, first.probability):
            raise AnswerValueInvalid("an answer that is not its first guess")
    check_order([[(guess.class_id, guess.probability) for guess in each.top] for each in found])
    if not all(0 <= milliseconds < math.inf for _, milliseconds in timings):
        raise AnswerValueInvalid("a time is negative or no number")
