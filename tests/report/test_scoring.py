"""From answers to scores, on a few pictures."""

from __future__ import annotations

import numpy as np
import pytest

from splitwire.report.measure.scoring import (
    Scorer,
    choose,
    confident,
    confusions,
    decide,
    right_of,
    traffic,
)
from splitwire.report.results import Answers, Sent

LABELS = np.array([0, 0, 1, 1])
CLASSES = ("cat", "dog")


def answers(*classes: int, bodies: tuple[int, ...] = (10, 20, 30, 40)) -> Answers:
    sent = tuple(size + 100 for size in bodies)
    return Answers(classes=classes, body_bytes=bodies, sent=sent, received=(7,) * len(bodies))


def sent(right: int, of: int, size: int, setting: str = "") -> Sent:
    """What is right on the first pictures, where the uncompressed network is right on all."""
    given = (0,) * right + (1,) * (of - right)
    found = answers(*given, bodies=(size,) * of).model_copy(update={"bare_bytes": (size - 4,) * of})
    return Scorer(np.zeros(of, dtype=np.int64), np.ones(of, dtype=bool)).sent(found, "int8", setting)


def test_a_quality_is_scored_by_class_and_against_the_uncompressed_network() -> None:
    scorer = Scorer(LABELS, right_of(Answers(classes=(0, 1, 1, 1)), LABELS))
    result = scorer.sent(answers(0, 0, 0, 1), "int8")
    assert result.scored.accuracy.value == 0.75
    assert result.scored.change.value == 0, "one won, one lost"
    assert (result.body.mean, result.body.least, result.body.most) == (25, 10, 40)
    rows = scorer.by_class(answers(0, 0, 0, 1), CLASSES)
    assert [(row.name, row.base.value, row.coded.value, row.change.value) for row in rows] == [
        ("cat", 0.5, 1, 0.5),
        ("dog", 1, 0.5, -0.5),
    ]


def test_a_class_without_pictures_has_no_score() -> None:
    (row,) = Scorer(np.array([1, 1]), np.array([True, True])).by_class(answers(1, 1), CLASSES)
    assert row.name == "dog"


def test_of_many_classes_the_worst_are_listed() -> None:
    labels = np.repeat(np.arange(30), 2)
    classes = tuple(f"class {label}" for label in range(30))
    given = np.where(labels >= 25, 0, labels)
    given[-1] = 29
    rows = Scorer(labels, np.ones(60, dtype=bool)).by_class(Answers(classes=tuple(given.tolist())), classes)
    assert [row.name for row in rows[:5]] == [f"class {label}" for label in (25, 26, 27, 28, 29)]
    assert len(rows) == 10


def test_frequent_confusions_are_counted_and_single_ones_are_not() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    (found,) = confusions(Answers(classes=(0, 0, 1, 1, 1)), Answers(classes=(1, 1, 0, 0, 1)), labels, CLASSES)
    assert (found.truth, found.answer, found.base, found.coded) == ("cat", "dog", 1, 2)


def test_traffic_leaves_out_what_was_sent_again() -> None:
    once_again = Answers(classes=(0, 0, 0), body_bytes=(10, 20, 30), sent=(110, 120, 230), received=(7, 7, 9))
    found = traffic(once_again)
    assert found is not None
    assert (found.sent, found.received) == (120, 7)


def test_traffic_is_unknown_where_sockets_are_not_counted() -> None:
    assert traffic(Answers(classes=(0,), body_bytes=(10,), sent=(), received=())) is None


def test_the_smallest_that_keeps_the_accuracy_is_chosen() -> None:
    qualities = {
        "large": sent(1000, 1000, 3000),
        "small": sent(990, 1000, 30),
        "smallest": sent(989, 1000, 3),
    }
    files = {"PNG": sent(100, 100, 2000), "JPEG": sent(99, 100, 500), "AVIF": sent(98, 100, 300)}
    chosen = choose(qualities, files)
    assert (chosen.quality, chosen.picture) == ("small", "JPEG")


def test_where_none_keeps_it_the_most_accurate_is_chosen() -> None:
    chosen = choose(
        {"one": sent(80, 100, 3000), "two": sent(70, 100, 30)},
        {"PNG": sent(50, 100, 2000), "JPEG": sent(60, 100, 5000)},
    )
    assert (chosen.quality, chosen.picture) == ("one", "JPEG")


def test_the_smallest_file_that_few_pictures_do_not_rule_out_is_measured_on_more() -> None:
    few = [
        sent(100, 100, 900, "never reached"),
        sent(97, 100, 500, "keeps it"),
        sent(100, 100, 300, "lucky"),
        sent(60, 100, 100, "ruled out"),
    ]
    more = {
        name: sent(right, 2000, size, name)
        for name, right, size in (("keeps it", 1985, 510), ("lucky", 1900, 310))
    }
    decided = decide(few, lambda name: more[name.removeprefix("int8, ")])
    assert [each.setting for each in decided.values()] == ["lucky", "keeps it"]
    chosen = choose({"one": sent(80, 100, 3000)}, decided)
    assert decided[chosen.picture].scored.accuracy.n == 2000
    assert decided[chosen.picture].setting == "keeps it"


def test_where_few_pictures_rule_all_files_out_these_are_what_there_is() -> None:
    few = [sent(60, 100, 100, "one"), sent(50, 100, 50, "two")]
    assert list(decide(few, lambda _: few[0]).values()) == few


def test_some_of_the_pictures_are_scored_against_the_network_on_the_same() -> None:
    base = right_of(Answers(classes=(0, 1, 1, 1)), LABELS)
    found = Scorer(LABELS, base).on(np.array([1, 2])).score(Answers(classes=(0, 0)))
    assert (found.accuracy.value, found.change.value) == (0.5, 0)


def test_confident_sends_only_what_the_device_doubts() -> None:
    own = Answers(classes=(0, 1, 1, 0), probabilities=(0.9, 0.6, 0.8, 0.7))
    all_sent = answers(0, 0, 0, 1)
    never, sometimes, always = confident(own, all_sent, LABELS, thresholds=(0.6, 0.8, 0.95))
    # The device is right on pictures 1 and 3, the cloud on 1, 2 and 4.
    assert (never.sent.value, never.body_bytes, never.accuracy.value) == (0, 0, 0.5)
    assert (sometimes.sent.value, sometimes.body_bytes) == (0.5, (20 + 40) / 4)
    assert sometimes.accuracy.value == 1
    assert sometimes.change.value == 0.25
    assert (always.sent.value, always.body_bytes, always.accuracy.value) == (1, 25, 0.75)


def test_bare_bytes_of_files_are_means() -> None:
    assert sent(1, 2, 10).bare_bytes == pytest.approx(6)
