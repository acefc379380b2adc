"""The device's own small classifier, for when its cloud can't answer or needn't."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.edge.compute.layers import load_layers, run_layers
from splitwire.shared.bundle import FALLBACK
from splitwire.shared.messages import Guess, Likely, Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.edge.compute.layers import Layer
    from splitwire.shared.bundle import Bundle


class Fallback:
    """Feature [512, 7, 7] -> mean of each channel -> fully connected layers -> probabilities."""

    def __init__(self, layers: list[Layer], classes: tuple[str, ...]) -> None:
        self._layers = layers
        self._classes = classes

    @classmethod
    def load(cls, bundle: Bundle) -> Fallback | None:
        """Build it; None where the bundle has none.

        Raises:
            BundleInvalid: its weights don't fit.

        """
        if f"{FALLBACK}.0.weight" not in bundle.tensors_of(None):
            return None
        classes, channels = bundle.manifest.classes, bundle.manifest.feature_shape[0]
        return cls(load_layers(bundle, None, FALLBACK, channels, len(classes)), classes)

    def __call__(self, feature: NDArray[np.float32], top: int) -> Prediction:
        """Classify one feature: its ``top`` likeliest classes."""
        logits = run_layers(self._layers, feature.mean(axis=(1, 2)))
        shares = np.exp(logits - logits.max())
        return prediction(shares / shares.sum(), self._classes, top)


def likeliest(probabilities: NDArray[np.float32], top: int) -> list[Likely]:
    """Find the ``top`` likeliest of probabilities [classes], in order."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [Likely(*pair) for pair in zip(order.tolist(), probabilities[order].tolist(), strict=True)]


def prediction(probabilities: NDArray[np.float32], classes: tuple[str, ...], top: int) -> Prediction:
    """Name the ``top`` likeliest classes of probabilities [classes]."""
    guesses = tuple(
        Guess(label=classes[each.class_id], class_id=each.class_id, probability=round(each.probability, 6))
        for each in likeliest(probabilities, top)
    )
    return Prediction(**guesses[0].model_dump(), top=guesses)
