"""Files that must decode to the same for ever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from splitwire.shared.codecs.arithmetic import Table
from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.codecs.float32 import Float32
from splitwire.shared.codecs.half import Half
from splitwire.shared.codecs.int8 import Int8

if TYPE_CHECKING:
    from splitwire.shared.codecs.abc import Codec

FOLDER = Path(__file__).parent
FINGERPRINT = 0x5EEDC0DE
SHAPE = (128, 5, 5)
PICTURES = 200


def committed_codecs() -> list[Codec]:
    """One codec of each kind, with the tables that are committed here."""
    return [
        Float32(SHAPE),
        Int8(SHAPE, np.load(FOLDER / "int8.scales.npy")),
        Half(SHAPE),
        Factorised(
            SHAPE,
            smallest=np.load(FOLDER / "factorised.smallest.npy"),
            tables=[
                Table(np.trim_zeros(row, "b").tolist())
                for row in np.load(FOLDER / "factorised.frequencies.npy")
            ],
            analysis=None,
            synthesis=None,
        ),
    ]
