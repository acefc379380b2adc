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
    assert words in describe_data(pictures, cifar10=True)


def test_other_pictures_are_described_by_their_files() -> None:
    files = []
    for kind, size in (("PNG", (30, 40)), ("JPEG", (50, 20))):
        buffer = io.BytesIO()
        Image.new("RGB", size, "red").save(buffer, kind)
        files.append(buffer.getvalue())
    pictures = Pictures(classes=("a", "b"), names=("1", "2"), labels=np.array([0, 1]), files=tuple(files))
    said = describe_data(pictures, cifar10=False)
    assert said.startswith("2 test pictures, JPEG and PNG files of ")
    assert said.endswith("of 20 x 50 pixels to 30 x 40.")
