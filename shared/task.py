"""What a tail's output means, by a manifest's ``task``: how it is read, written and scored.

A second task is a second class here; its answers' forms are in ``splitwire.shared.messages`` and ``splitwire.shared.answer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from splitwire.shared.messages import Likely, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from splitwire.shared.bundle import Manifest


class Classification:
    """A picture is of one of the bundle's classes.

    logits ─probabilities─> shares of 1 ─rank─> the likeliest first ─likeliest─> the first few ─named─> JSON
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes

    @staticmethod
    def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn logits [N, classes] into rows that add up to 1; not finite where a logit is not a number or infinite."""
        with np.errstate(invalid="ignore", over="ignore"):
            shares: NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
        return shares

    @staticmethod
    def rank(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Sort each row's classes, the likeliest first, what is no number last: classes and probabilities [N, classes]."""
        classes = np.argsort(-probabilities, axis=1, kind="stable")
        return classes, np.take_along_axis(probabilities, classes, axis=1)

    @staticmethod
    def likeliest(
        classes: NDArray[np.intp], probabilities: NDArray[np.float32], top: int
    ) -> list[list[Likely]]:
        """Take the first ``top`` of what ``rank`` gives, for every picture."""
        return [
            [Likely(*pair) for pair in zip(*rows, strict=True)]
            for rows in zip(classes[:, :top].tolist(), probabilities[:, :top].tolist(), strict=True)
        ]

    def named(self, picture: Iterable[tuple[int, float]]) -> dict[str, Any]:
        """Write one picture's classes and probabilities, the likeliest first, as JSON has them: a ``Prediction``'s fields."""
        top = [
            {"label": self._classes[class_id], "class_id": class_id, "probability": round(probability, 6)}
            for class_id, probability in picture
        ]
        return {**top[0], "top": top}

    def prediction(self, logits: NDArray[np.float32], top: int) -> Prediction:
        """Name the ``top`` likeliest classes of one picture; logits [classes]."""
        (picture,) = self.likeliest(*self.rank(self.probabilities(logits[None])), top)
        return Prediction.model_validate(self.named(picture))

    @staticmethod
    def best(logits: NDArray[np.float32]) -> NDArray[np.intp]:
        """Find the likeliest class of every picture: logits [N, classes] -> [N]."""
        classes: NDArray[np.intp] = logits.argmax(axis=1)
        return classes

    @staticmethod
    def right(classes: ArrayLike, labels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Score answers against the true classes, [N] both: which are right."""
        right: NDArray[np.bool_] = np.asarray(classes) == labels
        return right


TASKS: Mapping[str, type[Classification]] = {"classification": Classification}
"""By the name that a manifest has for it."""


def task_of(manifest: Manifest) -> Classification:
    """Look up what a bundle's tails do."""
    return TASKS[manifest.task](manifest.classes)
