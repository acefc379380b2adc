"""One file a codec, one contract (``shared.codecs.abc``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.codecs.float32 import Float32
from shared.codecs.int8 import Int8
from shared.errors import BundleInvalid

if TYPE_CHECKING:
    from shared.bundle import Bundle
    from shared.codecs.abc import Codec


def codec_of(bundle: Bundle, quality: str) -> Codec:
    """Build the codec of one of a bundle's qualities.

    Raises:
        QualityMissing: the bundle has no such quality.
        BundleInvalid: its codec is unknown here, or its tables are unusable.

    """
    shape = bundle.manifest.latent_shape
    match bundle.quality(quality).codec:
        case Float32.name:
            return Float32(shape)
        case Int8.name:
            return Int8(shape, bundle.table(quality, "scales", (shape[0],), positive=True))
        case other:
            raise BundleInvalid(bundle.path, f"codec {other!r} is unknown here; install a newer release")
