"""Pictures as files."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from splitwire.report.picture_codecs import Setting, load_file, settings


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """A smooth picture, as photographs are."""
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (32, 1)), np.tile(ramp[:, None], (1, 32)), np.full((32, 32), 90)], axis=2
    )
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def other(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def test_every_codec_is_tried_in_three_sizes_and_jpeg_with_two_chromas() -> None:
    found = Counter(setting.codec for setting in settings((50, 90), (None,)))
    assert found.pop("JXL", 6) == 6, "JPEG XL wants imagecodecs"
    assert found == {"PNG": 3, "JPEG": 12, "WebP": 6, "AVIF": 6}
    assert len({setting.title for setting in settings()}) == len(settings())


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.title)
def test_a_file_is_what_its_media_type_says_and_bare_it_is_smaller(
    image: Image.Image, setting: Setting
) -> None:
    file = setting.encode(image)
    side = setting.side or image.width
    assert load_file(file.data).size == (side, side)
    if setting.codec != "JXL":  # which Pillow does not know
        with Image.open(io.BytesIO(file.data)) as decoded:
            assert decoded.get_format_mimetype() == setting.media_type
    assert 0 < file.bare_bytes < len(file.data)


def test_only_lossless_png_keeps_every_pixel(image: Image.Image) -> None:
    kept = {
        setting.title
        for setting in settings()
        if np.array_equal(np.asarray(load_file(setting.encode(image).data)), np.asarray(image))
    }
    assert kept == {"PNG, lossless"}


def test_fixed_headers_are_as_long_for_every_picture(image: Image.Image, other: Image.Image) -> None:
    for setting in settings():
        if setting.codec in {"WebP", "AVIF"} or setting.name.startswith("lossless"):
            headers = {len(file.data) - file.bare_bytes for file in map(setting.encode, (image, other))}
            assert max(headers) - min(headers) <= 1, "WebP fills up to even lengths"


def test_headers_of_jpeg_xl_are_the_same_in_every_setting_of_a_size(
    image: Image.Image, other: Image.Image
) -> None:
    headers: dict[int | None, set[bytes]] = {}
    for setting in settings():
        if setting.codec == "JXL":
            for file in map(setting.encode, (image, other)):
                header = file.data[: len(file.data) - file.bare_bytes]
                headers.setdefault(setting.side, set()).add(header)
    assert all(len(each) == 1 for each in headers.values())


def test_a_chroma_that_is_kept_costs_bytes(image: Image.Image) -> None:
    sizes = {each.name: len(each.encode(image).data) for each in settings((90,)) if each.codec == "JPEG"}
    assert sizes["4:2:0, quality 90"] < sizes["4:4:4, quality 90"]
