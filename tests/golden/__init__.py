"""Files that must decode to the same for ever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from splitwire.shared.codecs import CODECS

if TYPE_CHECKING:
    from splitwire.shared.codecs.abc import Codec

FOLDER = Path(__file__).parent
FINGERPRINT = 0x5EEDC0DE
SHAPE = (128, 5, 5)
PICTURES = 200
LONG = "long"
"""The frame of version 2: what is said of it is ``LONG_PAYLOADS``, whatever the codec."""
LONG_PAYLOADS = (bytes(range(256)) * 64, b"\x01\x02\x03")


def committed_codecs() -> list[Codec]:
    """One codec of each kind, with the tables that are committed here."""
    return [
        codec.from_tables(
            SHAPE,
            {file.name.split(".")[1]: np.load(file) for file in FOLDER.glob(f"{name}.*.npy")},
        )
        for name, codec in CODECS.items()
    ]
