"""From answers to scores."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from splitwire.report.results import (
    Chosen,
    ClassScore,
    ConfidentPoint,
    Confusion,
    Scored,
    Scores,
    Sent,
    Size,
    Traffic,
)
from splitwire.report.statistics import difference, share_of
from splitwire.shared.evaluation import shown_classes
from splitwire.shared.task import Classification

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from splitwire.report.results import Answers

WITHIN = 0.01
"""How much accuracy may be lost by what the report chooses: one point of a hundred."""
_CONFUSIONS = 10
CONFIDENT = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


class Scorer:
    """Scores answers for n pictures; ``labels``: [n], ``base``: which of them are right uncompressed, [n]."""

    def __init__(self, labels: NDArray[np.int64], base: NDArray[np.bool_]) -> None:
        self.labels, self._base = labels, base

    def on(self, chosen: NDArray[np.int64]) -> Scorer:
        """Score answers for some of the pictures; ``chosen``: their indices."""
        return Scorer(self.labels[chosen], self._base[chosen])

    def score(self, answers: Answers) -> Scored:
        """Sum up how often answers are right."""
        right = right_of(answers, self.labels)
        return Scored(accuracy=share_of(right), change=difference(self._base, right))

    def by_class(self, answers: Answers, classes: Sequence[str]) -> tuple[ClassScore, ...]:
        """Score each class that has pictures, or of many the worst, the worst first."""
        right, found = right_of(answers, self.labels), dict[str, ClassScore]()
        for label in np.unique(self.labels):
            those = self.labels == label
            before, after = self._base[those], right[those]
            found[classes[label]] = ClassScore(
                name=classes[label],
                base=share_of(before),
                coded=share_of(after),
                change=difference(before, after),
            )
        shown = shown_classes({name: each.coded for name, each in found.items()})
        return tuple(found[name] for name in shown)

    def sent(self, answers: Answers, codec: str, setting: str = "") -> Sent:
        """Sum up what was sent, too."""
        bodies, bare = answers.body_bytes, answers.bare_bytes
        return Sent(
            codec=codec,
            setting=setting,
            scored=self.score(answers),
            body=Size(mean=float(np.mean(bodies)), least=min(bodies), most=max(bodies)),
            bare_bytes=float(np.mean(bare)) if bare else None,
            traffic=traffic(answers),
        )


def right_of(answers: Answers, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Compare answers with the true classes: [n]."""
    return Classification.right(answers.classes, labels)


def traffic(answers: Answers) -> Traffic | None:
    """Sum the socket's counts up; None where it has none.

    What comes on top of a body is the same for all: its median leaves out what TCP had to send again.
    """
    if not answers.sent:
        return None
    bodies = np.array(answers.body_bytes)
    return Traffic(
        sent=float(bodies.mean() + np.median(np.array(answers.sent) - bodies)),
        received=float(np.median(answers.received)),
    )


def score_all(
    scorer: Scorer,
    base: Answers,
    own: Answers,
    qualities: Mapping[str, tuple[str, Answers]],
    files: Sequence[Sent],
    decided: Mapping[str, Sent],
    classes: Sequence[str],
    table_quality: str | None = None,
) -> Scores:
    """Score every way.

    Args:
        scorer: for all pictures.
        base: of the uncompressed network.
        own: of the device's own classifier; empty where it has none.
        qualities: codec and answers by quality.
        files: of some pictures, in every setting; the first as they are.
        decided: see ``decide``.
        classes: by label.
        table_quality: of the table by class; None: the chosen one.

    """
    by_quality = {name: scorer.sent(answers, codec) for name, (codec, answers) in qualities.items()}
    chosen = choose(by_quality, decided)
    table_quality = table_quality or chosen.quality
    coded = qualities[table_quality][1]
    return Scores(
        base=scorer.score(base),
        qualities=by_quality,
        pictures=tuple(decided.get(each.name, each) for each in files),
        own=scorer.score(own) if own.classes else None,
        chosen=chosen,
        confident=confident(own, qualities[chosen.quality][1], scorer.labels) if own.classes else (),
        table_quality=table_quality,
        by_class=scorer.by_class(coded, classes),
        confusions=confusions(base, coded, scorer.labels, classes),
    )


def confusions(
    base: Answers, coded: Answers, labels: NDArray[np.int64], classes: Sequence[str]
) -> tuple[Confusion, ...]:
    """Find the classes that most pictures are taken for wrongly, several each, the most frequent first."""
    before, after = (Counter(zip(labels.tolist(), each.classes, strict=True)) for each in (base, coded))
    wrong = Counter({pair: count for pair, count in after.items() if pair[0] != pair[1] and count > 1})
    return tuple(
        Confusion(truth=classes[truth], answer=classes[answer], coded=count, base=before[truth, answer])
        for (truth, answer), count in wrong.most_common(_CONFUSIONS)
    )


def decide(files: Sequence[Sent], measure: Callable[[str], Sent]) -> dict[str, Sent]:
    """Measure on more pictures which is the smallest file that keeps the accuracy.

    Args:
        files: what came of few pictures, in every setting.
        measure: gives what comes of more of them in the setting of that name.

    Returns:
        by name those that few pictures do not rule out, from the smallest to the first that keeps the accuracy.

    """
    left = [each for each in files if each.scored.change.high >= -WITHIN]
    decided: dict[str, Sent] = {}
    for each in sorted(left, key=lambda each: each.body.mean):
        decided[each.name] = found = measure(each.name)
        if keeps_accuracy(found):
            break
    return decided or {each.name: each for each in files}


def choose(qualities: Mapping[str, Sent], pictures: Mapping[str, Sent]) -> Chosen:
    """Choose a quality and a picture's file to speak about."""
    return Chosen(within=WITHIN, quality=_smallest(qualities), picture=_smallest(pictures))


def keeps_accuracy(sent: Sent) -> bool:
    """Say whether at most ``WITHIN`` of the uncompressed network's accuracy is lost."""
    return sent.scored.change.value >= -WITHIN


def _smallest(candidates: Mapping[str, Sent]) -> str:
    good = [name for name, each in candidates.items() if keeps_accuracy(each)]
    if good:
        return min(good, key=lambda name: candidates[name].body.mean)
    return max(candidates, key=lambda name: candidates[name].scored.accuracy.value)


def confident(
    own: Answers, sent: Answers, labels: NDArray[np.int64], thresholds: Sequence[float] = CONFIDENT
) -> tuple[ConfidentPoint, ...]:
    """Work out ``--confident P``: the device's own answer where that is at least P sure, the cloud's elsewhere."""
    probabilities, bodies = np.array(own.probabilities), np.array(sent.body_bytes)
    own_right, sent_right = right_of(own, labels), right_of(sent, labels)
    points = []
    for p in thresholds:
        asks = probabilities < p
        right = np.where(asks, sent_right, own_right)
        points.append(
            ConfidentPoint(
                p=p,
                sent=share_of(asks),
                body_bytes=float(bodies[asks].sum() / len(bodies)),
                accuracy=share_of(right),
                change=difference(sent_right, right),
            )
        )
    return tuple(points)
