"""The models behind the server: payloads to symbols, symbols to probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from splitwire.cloud.errors import FingerprintUnknown, FrameQualityInvalid
from splitwire.models.device import choose_device, limit_threads
from splitwire.models.loading import load_tails
from splitwire.models.packed import can_pack, pack_tails
from splitwire.shared.codecs.abc import ELEMENT_BYTES
from splitwire.shared.cores import usable_cores
from splitwire.shared.errors import BundleInvalid
from splitwire.shared.frame import MAX_SHORT_BYTES, largest_frame
from splitwire.shared.task import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from splitwire.models.loading import Tail
    from splitwire.shared.bundle import Bundle, Manifest
    from splitwire.shared.codecs.abc import Codec
    from splitwire.shared.frame import Frame
    from splitwire.shared.task import Classification


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
    task: Classification
    codec: Codec
    tail: Callable[[torch.Tensor], torch.Tensor]
    """Latents to logits [pictures, classes]; qualities that share it share batches."""

    def decode(self, frame: Frame) -> Decoded:
        """Turn the payloads of a frame with this quality's fingerprint into symbols.

        Raises:
            FrameQualityInvalid: the frame's quality is not the fingerprint's.
            PayloadInvalid: a payload is not the codec's.

        """
        expected = self.manifest.qualities[self.quality].id
        if frame.quality != expected:
            raise FrameQualityInvalid(frame.quality, expected)
        return Decoded(
            fingerprint=frame.fingerprint,
            symbols=[self.codec.decode(payload) for payload in frame.payloads],
        )


class Engine:
    """The codecs and tails of its bundles, the tails on one device."""

    def __init__(self, bundles: Sequence[Bundle], device: str, precision: torch.dtype | None = None) -> None:
        """Load every quality's tail; of two qualities with one contract, the first bundle's serves.

        Without a ``precision`` it is half on CUDA, and else single.

        Raises:
            BundleError: a bundle's weights or tables can't be used, or two contracts have one fingerprint.
            SettingsError: the device is not there.

        """
        self.device = choose_device(device)
        limit_threads()
        usual = torch.float16 if self.device.type == "cuda" else torch.float32
        self.precision = precision or usual
        self._loaded: dict[int, Loaded] = {}
        for bundle in bundles:
            self._add(bundle)

    def _add(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        for quality, tail in self._arranged(load_tails(bundle)).items():
            fingerprint = manifest.fingerprint(quality)
            other = self._loaded.get(fingerprint)
            if other is None:
                self._loaded[fingerprint] = Loaded(
                    manifest=manifest,
                    quality=quality,
                    task=task_of(manifest),
                    codec=bundle.codec(quality),
                    tail=tail,
                )
            elif other.manifest.contract(other.quality) != manifest.contract(quality):
                raise BundleInvalid(
                    bundle.path,
                    f"by chance its {quality} has the fingerprint of {other.manifest.id}/{other.quality}, "
                    "so that frames can't be told apart; serve them from two processes",
                )

    def _arranged(self, tails: Mapping[str, Tail]) -> Mapping[str, nn.Module]:
        if self.device.type == "cpu" and self.precision == torch.float32 and can_pack():
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

    def longest_frame(self) -> int:
        """Tell how many bytes a frame can have, of what is loaded or of version 1."""
        elements = max(math.prod(each.codec.latent_shape) for each in self._loaded.values())
        return largest_frame(max(MAX_SHORT_BYTES, ELEMENT_BYTES * elements))

    def group(self, fingerprint: int) -> Hashable:
        """Name the group of a fingerprint. Frames of one group can share a forward pass."""
        return id(self._loaded[fingerprint].tail)

    @torch.inference_mode()
    def classify(self, frames: Sequence[Decoded]) -> NDArray[np.float32]:
        """Symbols to probabilities, in half precision on CUDA.

        Args:
            frames: of one group.

        Returns:
            [pictures, classes] for the pictures of all frames, float32, rows that add up to 1; not
            finite where a value is too large for the precision.

        """
        latents = np.concatenate(
            [
                self._loaded[fingerprint].codec.dequantise(
                    np.stack([symbols for frame in same for symbols in frame.symbols])
                )
                for fingerprint, same in groupby(frames, key=attrgetter("fingerprint"))
            ]
        )
        inputs = torch.from_numpy(latents).to(self.device, self.precision)
        loaded = self._loaded[frames[0].fingerprint]
        return loaded.task.probabilities(loaded.tail(inputs).float().cpu().numpy())

    def blanks(self) -> tuple[Decoded, ...]:
        """Make a picture of zeros for every tail: requests that need no picture."""
        tails = {self.group(fingerprint): fingerprint for fingerprint in reversed(self._loaded)}
        return tuple(
            Decoded(
                fingerprint=fingerprint,
                symbols=[np.zeros(self._loaded[fingerprint].codec.latent_shape, dtype=np.float32)],
            )
            for fingerprint in tails.values()
        )

    @property
    def has_only_core(self) -> bool:
        """Whether the tails run on the only core that this process has."""
        return self.device.type == "cpu" and usable_cores() == 1

    def warm_up(self) -> None:
        """Run every tail once, so that the first request finds it ready."""
        for blank in self.blanks():
            self.classify([blank])
