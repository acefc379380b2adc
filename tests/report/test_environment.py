"""What the report says of the machine and the data."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from splitwire.models.training.data.pictures import CLASS_ORDER, Pictures
from splitwire.report.testbed.environment import describe_data


@pytest.mark.parametrize(
    ("kind", "lossless", "words"),
    [
        ("PNG", True, "keeps every pixel"),
        ("WEBP", True, "keeps every pixel"),
        ("WEBP", False, "which loses detail"),
        ("JPEG", False, "which loses detail"),
    ],
)
def test_files_that_lose_detail_are_told_from_those_that_do_not(
    kind: str, words: str, *, lossless: bool
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, kind, lossless=lossless)
    pictures = Pictures(classes=CLASS_ORDER, names=("red",), labels=np.array([0]), files=(buffer.getvalue(),))
    assert words in describe_data(pictures)
