"""One file a codec, one contract (``splitwire.shared.codecs.abc``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.codecs.float32 import Float32
from splitwire.shared.codecs.half import Half
from splitwire.shared.codecs.int8 import Int8
from splitwire.shared.errors import BundleInvalid

if TYPE_CHECKING:
    from splitwire.shared.bundle import Bundle
    from splitwire.shared.codecs.abc import Codec

CODECS: dict[str, type[Codec]] = {codec.name: codec for codec in (Float32, Half, Int8, Factorised)}


def codec_of(bundle: Bundle, quality: str) -> Codec:
    """Build the codec of one of a bundle's qualities.

    Raises:
        QualityMissing: the bundle has no such quality.
        BundleInvalid: its codec is unknown here, or its tables are unusable.

    """
    name = bundle.quality(quality).codec
    if name not in CODECS:
        raise BundleInvalid(bundle.path, f"codec {name!r} is unknown here; install a newer release")
    return CODECS[name].load(bundle, quality)
