"""What logits mean, and how answers are scored."""

from __future__ import annotations

import numpy as np
import pytest

from splitwire.shared.messages import Likely, Prediction
from splitwire.shared.task import Classification

PETS = Classification(("cat", "dog", "fish"))
LOGITS = np.array([[1, 3, 2], [5, 5, -np.inf]], np.float32)


def test_probabilities_add_up_to_one_and_keep_the_order() -> None:
    probabilities = PETS.probabilities(LOGITS)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert probabilities[1].tolist() == [0.5, 0.5, 0]
    assert PETS.best(LOGITS).tolist() == [1, 0]


def test_large_logits_are_no_trouble_and_infinite_ones_give_no_number() -> None:
    assert PETS.probabilities(np.array([[3e38, 0, 0]], np.float32)).tolist() == [[1, 0, 0]]
    for value in (np.inf, np.nan):
        assert np.isnan(PETS.probabilities(np.array([[value, 0, 0]], np.float32))).any()


def test_the_likeliest_come_first_equals_in_their_order_and_what_is_no_number_last() -> None:
    ranked = PETS.rank(np.array([[0.25, 0.5, 0.25], [0.5, np.nan, 0.5]], np.float32))
    assert PETS.likeliest(*ranked, top=2) == [
        [Likely(1, 0.5), Likely(0, 0.25)],
        [Likely(0, 0.5), Likely(2, 0.5)],
    ]


def test_a_prediction_is_what_json_says() -> None:
    prediction = PETS.prediction(LOGITS[0], top=9)
    assert [guess.label for guess in prediction.top] == ["dog", "fish", "cat"]
    assert (prediction.label, prediction.class_id, prediction.probability) == ("dog", 1, 0.665241)
    named = PETS.named([(1, 0.66524096), (2, 0.24472847), (0, 0.09003057)])
    assert Prediction.model_validate(named) == prediction


def test_an_answer_is_right_where_it_is_the_true_class() -> None:
    assert PETS.right((1, 2), np.array([1, 0])).tolist() == [True, False]
