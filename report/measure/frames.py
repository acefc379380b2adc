"""From a feature to a request body, as a device makes it for one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.edge.compute.encoder import Encoder
from splitwire.shared.frame import Frame, pack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


class Framer:
    """Encodes features in one quality, each in a frame of its own."""

    def __init__(self, bundle: Bundle, quality: str) -> None:
        """Load the quality's encoder.

        Raises:
            QualityMissing: the bundle has no such quality.
            BundleInvalid: weights or tables can't be used.

        """
        self._encoder = Encoder(bundle, quality)
        self._fingerprint = bundle.manifest.fingerprint(quality)
        self._id = bundle.manifest.qualities[quality].id

    def __call__(self, feature: NDArray[np.float32]) -> bytes:
        """Make the frame of a feature [512, 7, 7]."""
        payloads = (self._encoder(feature),)
        return pack(Frame(fingerprint=self._fingerprint, quality=self._id, payloads=payloads))
