"""The codecs, by the ids that manifests name. Each has a file of its own; ``abc`` says what they all do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.codecs.float32 import Float32
from splitwire.shared.codecs.half import Half
from splitwire.shared.codecs.int8 import Int8

if TYPE_CHECKING:
    from splitwire.shared.codecs.abc import Codec

CODECS: dict[str, type[Codec]] = {codec.id: codec for codec in (Float32, Half, Int8, Factorised)}
