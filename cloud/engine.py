"""The models behind the server: payloads to symbols, symbols to probabilities."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.device import choose_device
from models.loading import load_tails
from models.packed import can_pack, pack_tails
from shared.codecs import codec_of
from shared.errors import BundleInvalid, FingerprintUnknown, FrameQualityInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from shared.bundle import Bundle, Manifest
    from shared.codecs.abc import Codec
    from shared.frame import Frame


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A frame that was read: the fingerprint that it names, and for every picture its codec's symbols."""

    fingerprint: int
    symbols: Sequence[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A quality of a loaded bundle."""

    manifest: Manifest
    quality: str
    codec: Codec
    tail: Callable[[torch.Tensor], torch.Tensor]
    """Latents to logits."""


class Engine:
    """Decodes frames of its bundles and runs their tails on one device."""

    def __init__(self, bundles: Sequence[Bundle], device: str, precision: torch.dtype | None = None) -> None:
        """Load every quality's tail; of two qualities with one contract, the first bundle's serves.

        Without a ``precision`` it is half on CUDA, and else single.

        Raises:
            BundleError: a bundle's weights or tables can't be used, or two contracts have one fingerprint.
            SettingsError: the device is not there.

        """
        self.device = choose_device(device)
        usual = torch.float16 if self.device.type == "cuda" else torch.float32
        self.precision = precision or usual
        self._loaded: dict[int, Loaded] = {}
        for bundle in bundles:
            self._add(bundle)

    def _add(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        for quality, tail in self._tails(bundle).items():
            fingerprint = manifest.fingerprint(quality)
            other = self._loaded.get(fingerprint)
            if other is None:
                self._loaded[fingerprint] = Loaded(
                    manifest=manifest,
                    quality=quality,
                    codec=codec_of(bundle, quality),
                    tail=tail,
                )
            elif other.manifest.contract(other.quality) != manifest.contract(quality):
                raise BundleInvalid(
                    bundle.path,
                    f"by chance its {quality} has the fingerprint of {other.manifest.id}/{other.quality}, "
                    "so that frames can't be told apart; serve them from two processes",
                )

    def _tails(self, bundle: Bundle) -> Mapping[str, Callable[[torch.Tensor], torch.Tensor]]:
        tails = load_tails(bundle)
        packable = self.device.type == "cpu" and self.precision == torch.float32
        if packable and can_pack():
            return pack_tails(tails)
        return {quality: tail.to(self.device, self.precision) for quality, tail in tails.items()}

    def loaded(self, fingerprint: int) -> Loaded:
        """Look up what decodes the frames of a fingerprint.

        Raises:
            FingerprintUnknown: no loaded bundle does.

        """
        try:
            return self._loaded[fingerprint]
        except KeyError:
            names = {key: f"{each.manifest.id}/{each.quality}" for key, each in self._loaded.items()}
            raise FingerprintUnknown(fingerprint, names) from None

    def decode(self, frame: Frame) -> Decoded:
        """Turn a frame's payloads into symbols.

        Raises:
            FingerprintUnknown: the frame is for another bundle.
            FrameQualityInvalid: its quality is not the fingerprint's.
            PayloadInvalid: a payload is not its codec's.

        """
        loaded = self.loaded(frame.fingerprint)
        expected = loaded.manifest.qualities[loaded.quality].id
        if frame.quality != expected:
            raise FrameQualityInvalid(frame.quality, expected)
        return Decoded(
            fingerprint=frame.fingerprint,
            symbols=[loaded.codec.unpack(payload) for payload in frame.payloads],
        )

    def group(self, fingerprint: int) -> Hashable:
        """Name the group of a fingerprint. Frames of one group can share a forward pass."""
        return id(self._loaded[fingerprint].tail)

    def classify(self, frames: Sequence[Decoded]) -> NDArray[np.float32]:
        """Symbols to probabilities [pictures, classes]: the pictures of frames of one group, see ``tail``."""
        latents = [
            self._loaded[fingerprint].codec.restore(
                np.stack([symbols for frame in same for symbols in frame.symbols])
            )
            for fingerprint, same in groupby(frames, key=attrgetter("fingerprint"))
        ]
        together = latents[0] if len(latents) == 1 else np.concatenate(latents)
        return self.tail(frames[0].fingerprint, together)

    @torch.inference_mode()
    def tail(self, fingerprint: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Latents to probabilities, in half precision on CUDA.

        Args:
            fingerprint: whose tail to run.
            values: [pictures, 128, 5, 5], float32.

        Returns:
            [pictures, classes], float32, rows that add up to 1; not finite where a value is too
            large for the precision.

        """
        latents = torch.from_numpy(values).to(self.device, self.precision)
        logits = self._loaded[fingerprint].tail(latents)
        probabilities: NDArray[np.float32] = torch.softmax(logits.float(), dim=1).cpu().numpy()
        return probabilities

    def blanks(self) -> tuple[Decoded, ...]:
        """Make a picture of zeros for every tail: requests that need no picture."""
        tails = {self.group(fingerprint): fingerprint for fingerprint in reversed(self._loaded)}
        return tuple(
            Decoded(
                fingerprint=fingerprint,
                symbols=[np.zeros(self._loaded[fingerprint].codec.symbols_shape, dtype=np.float32)],
            )
            for fingerprint in tails.values()
        )

    @property
    def has_only_core(self) -> bool:
        """Whether the tails run on the only core that this process has."""
        return self.device.type == "cpu" and len(os.sched_getaffinity(0)) == 1

    def warm_up(self) -> None:
        """Run every tail once, so that the first request finds it ready."""
        for blank in self.blanks():
            self.classify([blank])
