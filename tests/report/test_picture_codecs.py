"""Pictures as files."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from splitwire.report.measure.picture_codecs import Setting, settings


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """A smooth picture, as photographs are."""
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (32, 1)), np.tile(ramp[:, None], (1, 32)), np.full((32, 32), 90)], axis=2
    )
    return Image.fromarray(pixels.astype(np.uint8))


def test_pillow_has_every_codec_with_four_settings() -> None:
    assert Counter(setting.codec for setting in settings()) == {"PNG": 4, "JPEG": 4, "WebP": 4, "AVIF": 4}


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.title)
def test_a_file_is_what_its_media_type_says_and_bare_it_is_smaller(
    image: Image.Image, setting: Setting
) -> None:
    file = setting.encode(image)
    with Image.open(io.BytesIO(file.data)) as decoded:
        assert decoded.get_format_mimetype() == setting.media_type
        assert decoded.size == image.size
    assert 0 < file.bare_bytes < len(file.data)


def test_only_lossless_png_keeps_every_pixel(image: Image.Image) -> None:
    kept = set()
    for setting in settings():
        with Image.open(io.BytesIO(setting.encode(image).data)) as decoded:
            if np.array_equal(np.asarray(decoded.convert("RGB")), np.asarray(image)):
                kept.add(setting.title)
    assert kept == {"PNG, lossless"}


def test_fixed_headers_are_as_long_for_every_picture(image: Image.Image) -> None:
    other = image.transpose(Image.Transpose.ROTATE_90)
    for setting in settings():
        if setting.codec in {"WebP", "AVIF"} or setting.name == "lossless":
            headers = {len(file.data) - file.bare_bytes for file in map(setting.encode, (image, other))}
            assert max(headers) - min(headers) <= 1, "WebP fills up to even lengths"
