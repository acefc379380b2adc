"""The device's own small classifier, for when its cloud can't answer or needs not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.shared.layers import load_layers, run_layers
from splitwire.shared.messages import prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle
    from splitwire.shared.layers import Layer
    from splitwire.shared.messages import Prediction

FALLBACK = "fallback"
"""Prefix of its tensors' names in a bundle's device files."""


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
        manifest = bundle.manifest
        tensors = {
            name: values for file in manifest.files.device for name, values in bundle.tensors[file].items()
        }
        channels = manifest.feature_shape[0]
        layers = load_layers(bundle.path, tensors, FALLBACK, channels, len(manifest.classes))
        return cls(layers, manifest.classes) if layers else None

    def __call__(self, feature: NDArray[np.float32], top: int) -> Prediction:
        """Classify one feature: its ``top`` likeliest classes."""
        logits = run_layers(self._layers, feature.mean(axis=(1, 2)))
        shares = np.exp(logits - logits.max())
        return prediction(shares / shares.sum(), self._classes, top)
