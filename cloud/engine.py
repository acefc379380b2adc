"""The model behind the server: payloads to latents, latents to probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.device import choose_device
from models.loading import load_tails
from shared.codecs import codec_of
from shared.errors import FingerprintUnknown, FrameQualityInvalid

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from shared.bundle import Bundle
    from shared.frame import Frame


@dataclass(frozen=True, kw_only=True)
class Latents:
    """A decoded frame: the quality's name, and [pictures, 128, 5, 5] float32."""

    quality: str
    values: NDArray[np.float32]


class Engine:
    """Decodes frames of one bundle and runs its tails on one device."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        """Load every quality's tail.

        Raises:
            BundleError: the bundle's weights or tables can't be used.
            SettingsError: the device is not there.

        """
        self.manifest = bundle.manifest
        self.device = choose_device(device)
        qualities = self.manifest.qualities
        self._by_fingerprint = {self.manifest.fingerprint(name): name for name in qualities}
        self._codecs = {name: codec_of(bundle, name) for name in qualities}
        self._tails = {name: tail.to(self.device) for name, tail in load_tails(bundle).items()}

    def decode(self, frame: Frame) -> Latents:
        """Turn a frame's payloads into latents.

        Raises:
            FingerprintUnknown: the frame is for another bundle.
            FrameQualityInvalid: its quality is not the fingerprint's.
            PayloadInvalid: a payload is not its codec's.

        """
        quality = self._by_fingerprint.get(frame.fingerprint)
        if quality is None:
            loaded = {key: f"{self.manifest.id}/{name}" for key, name in self._by_fingerprint.items()}
            raise FingerprintUnknown(frame.fingerprint, loaded)
        expected = self.manifest.qualities[quality].id
        if frame.quality != expected:
            raise FrameQualityInvalid(frame.quality, expected)
        codec = self._codecs[quality]
        return Latents(quality=quality, values=np.stack([codec.decode(p) for p in frame.payloads]))

    def group(self, quality: str) -> Hashable:
        """Name the group of a quality. Latents whose qualities are in the same group can share a forward pass."""
        return id(self._tails[quality])

    @torch.inference_mode()
    def tail(self, quality: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Latents to probabilities.

        Args:
            quality: whose tail to run.
            values: [pictures, 128, 5, 5], float32.

        Returns:
            [pictures, classes], float32, rows that add up to 1.

        """
        logits = self._tails[quality](torch.from_numpy(values).to(self.device))
        probabilities: NDArray[np.float32] = torch.softmax(logits.float(), dim=1).cpu().numpy()
        return probabilities

    def blank(self) -> Latents:
        """Make a latent of zeros, of the default quality: a request that needs no picture."""
        values = np.zeros((1, *self.manifest.latent_shape), dtype=np.float32)
        return Latents(quality=self.manifest.default_quality, values=values)

    def warm_up(self) -> None:
        """Run every tail once, so that the first request finds it ready."""
        for quality in self._tails:
            self.tail(quality, self.blank().values)
