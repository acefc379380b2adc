"""From latent to payload, in whichever quality suits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from splitwire.edge.network.throughput import Option, ThroughputEstimator
from splitwire.shared.errors import BundleInvalid
from splitwire.shared.evaluation import load_evaluation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

AUTO = "auto"


class Choice(NamedTuple):
    """A picture's quality, the head's output that it needs, and why that one; None where it was asked for."""

    quality: str
    output: str
    reason: str | None


class Coder:
    """Codes in one quality, or with ``auto`` in the one that the link carries in time."""

    def __init__(self, bundle: Bundle, quality: str) -> None:
        """Load the codec of each quality that may be used.

        Raises:
            QualityMissing: the bundle has no such quality.
            BundleInvalid: tables can't be used; with ``auto``, the evaluation is damaged.

        """
        names = tuple(bundle.manifest.qualities) if quality == AUTO else (quality,)
        self._codecs = {name: bundle.codec(name) for name in names}
        self.outputs = {name: bundle.quality(name).output for name in names}
        """The head's, by quality."""
        self.quality = bundle.manifest.default_quality if quality == AUTO else quality
        """The one that is used where nothing is chosen."""
        self.throughput = ThroughputEstimator()
        self._options: list[Option] = []
        if quality == AUTO:
            evaluation = load_evaluation(bundle.path)
            scores = evaluation.scores if evaluation else {}
            self._options = [
                Option(name=name, body_bytes=score.body_bytes, accuracy=score.accuracy.value)
                for name, score in scores.items()
                if name in names and score.body_bytes is not None
            ]
            if not self._options:
                raise BundleInvalid(
                    bundle.path, "it was not measured, so that auto can't choose; name a quality"
                )

    def choose(self, left: float) -> Choice:
        """Choose the quality of a picture whose answer is due in ``left`` seconds."""
        quality, reason = self.quality, None
        if self._options:
            choice = self.throughput.choose(self._options, left)
            quality, reason = choice.name, choice.reason
        return Choice(quality, self.outputs[quality], reason)

    def encode(self, latent: NDArray[np.float32], quality: str) -> bytes:
        """Make the payload of a quality's latent, [*latent_shape].

        Raises:
            LatentInvalid: it can't be coded.

        """
        codec = self._codecs[quality]
        return codec.encode(codec.quantise(latent))
