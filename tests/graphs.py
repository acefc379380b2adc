"""A small graph with two outputs: a text of ncnn, and weights for it."""

from __future__ import annotations

import numpy as np

TEXT = """7767517
6 7
Input picture 0 1 picture 0=6 1=6 2=3
Convolution stem 1 1 picture feature 0=4 1=3 3=2 4=1 5=1 6=108 9=1
Split both 1 2 feature tocodes toclasses
Convolution cae.0 1 1 tocodes cae 0=2 1=1 5=1 6=8
Pooling pool 1 1 toclasses pooled 0=1 4=1
InnerProduct classes.1 1 1 pooled classes 0=5 1=1 2=20
"""
_SIZES = ((108, 4), (8, 2), (20, 5))
_HALF = b"\x47\x6b\x30\x01"


def changed(value: float) -> tuple[str, bytes]:
    """The text, and weights that all have one value."""
    return TEXT, b"".join(
        _HALF + np.full(weights, value, "<f2").tobytes() + np.full(biases, value, "<f4").tobytes()
        for weights, biases in _SIZES
    )


_, WEIGHTS = changed(0.5)
