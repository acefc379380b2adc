"""From answers to scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.report.results import (
    Chosen,
    Confident,
    ConfidentPoint,
    PictureResult,
    QualityResult,
    Scored,
    Size,
    Traffic,
)
from splitwire.report.statistics import difference, share_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from splitwire.report.measure.exchanges import Answers, FileAnswers
    from splitwire.report.measure.on_device import Own

WITHIN = 0.01
"""How much accuracy may be lost by what the report chooses: one point of a hundred."""
CONFIDENT = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


def right_of(classes: Sequence[int], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Compare answers with the true classes: [n]."""
    hits: NDArray[np.bool_] = np.array(classes) == labels
    return hits


def quality_result(
    codec: str,
    answers: Answers,
    base: NDArray[np.bool_],
    labels: NDArray[np.int64],
    classes: Sequence[str],
) -> QualityResult:
    """Sum up what came of frames; ``base``: which pictures VGG16 alone has right, [n]."""
    return QualityResult(
        codec=codec,
        scored=score(right_of(answers.classes, labels), base, labels, classes),
        body=size(answers.body_bytes),
        traffic=traffic(answers),
    )


def picture_result(
    files: FileAnswers, base: NDArray[np.bool_], labels: NDArray[np.int64], classes: Sequence[str]
) -> PictureResult:
    """Sum up what came of pictures sent as files; ``base``: which of them VGG16 alone has right, [n]."""
    return PictureResult(
        codec=files.codec,
        setting=files.setting,
        scored=score(right_of(files.answers.classes, labels), base, labels, classes),
        base=share_of(base),
        file=size(files.answers.body_bytes),
        bare_bytes=float(np.mean(files.bare_bytes)) if files.bare_bytes else None,
        traffic=traffic(files.answers),
    )


def score(
    right: NDArray[np.bool_], base: NDArray[np.bool_], labels: NDArray[np.int64], classes: Sequence[str]
) -> Scored:
    """Sum up which of n pictures are right, beside which VGG16 alone has right: all [n]."""
    by_class = {name: labels == label for label, name in enumerate(classes) if (labels == label).any()}
    return Scored(
        accuracy=share_of(right),
        change=difference(base, right),
        by_class={name: share_of(right[those]) for name, those in by_class.items()},
        change_by_class={name: difference(base[those], right[those]) for name, those in by_class.items()},
    )


def size(values: Sequence[int]) -> Size:
    """Sum bytes a picture up."""
    return Size(mean=float(np.mean(values)), least=min(values), most=max(values))


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


def choose(qualities: Mapping[str, QualityResult], pictures: Sequence[PictureResult]) -> Chosen:
    """Choose a quality and a picture's file to speak about."""
    return Chosen(
        within=WITHIN,
        quality=_smallest({name: (each.scored, each.body.mean) for name, each in qualities.items()}),
        picture=_smallest({each.name: (each.scored, each.file.mean) for each in pictures}),
    )


def _smallest(candidates: Mapping[str, tuple[Scored, float]]) -> str:
    good = {name: size for name, (scored, size) in candidates.items() if scored.change.value >= -WITHIN}
    if good:
        return min(good, key=lambda name: good[name])
    return max(candidates, key=lambda name: candidates[name][0].accuracy.value)


def confident(
    quality: str, own: Own, sent: Answers, labels: NDArray[np.int64], thresholds: Sequence[float] = CONFIDENT
) -> Confident:
    """Work out ``--confident P``: the device's own answer where that is at least P sure, the cloud's elsewhere."""
    probabilities, bodies = np.array(own.probabilities), np.array(sent.body_bytes)
    own_right, sent_right = right_of(own.classes, labels), right_of(sent.classes, labels)
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
    return Confident(quality=quality, points=tuple(points))
