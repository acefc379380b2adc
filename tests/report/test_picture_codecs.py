"""Pictures as files."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from splitwire.report.picture_codecs import CROPPED, Setting, load_file
from splitwire.report.picture_codecs import settings as codec_settings
from splitwire.shared.pictures.decoding import View, square

VIEW = View(224)


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
    found = Counter(setting.codec for setting in codec_settings(VIEW, 32, (50, 90), (None,)))
    assert found.pop("JXL", 6) == 6, "JPEG XL wants imagecodecs"
    assert found == {"PNG": 3, "JPEG": 12, "WebP": 6, "AVIF": 6}
    assert len({setting.title for setting in codec_settings(VIEW, 32)}) == len(codec_settings(VIEW, 32))


@pytest.mark.parametrize("setting", codec_settings(VIEW, 32), ids=lambda setting: setting.title)
def test_a_file_is_what_its_media_type_says_and_bare_it_is_smaller(
    image: Image.Image, setting: Setting
) -> None:
    file = setting.encode(image)
    assert load_file(file.data).size == (setting.side, setting.side)
    if setting.codec != "JXL":  # which Pillow does not know
        with Image.open(io.BytesIO(file.data)) as decoded:
            assert decoded.get_format_mimetype() == setting.media_type
    assert 0 < file.bare_bytes < len(file.data)


def test_of_a_large_picture_what_the_network_sees_is_sent_in_as_many_pixels_or_fewer() -> None:
    view = View(64, crop=0.875)
    image = Image.effect_noise((200, 120), 60).convert("RGB")
    lossless = [each for each in codec_settings(view, 120, (), (None,)) if each.codec == "PNG"]
    assert [each.side for each in lossless] == [64, 48, 32, 16]
    seen = load_file(lossless[0].encode(image).data, view._replace(crop=1.0))
    assert np.array_equal(np.asarray(seen), np.asarray(square(image, view)))
    assert {each.media_type for each in lossless} == {f"image/png; {CROPPED}"}
    assert next(each.side for each in codec_settings(view, 40, (), (None,))) == 35, "nothing is enlarged"


def test_only_lossless_png_keeps_every_pixel(image: Image.Image) -> None:
    kept = {
        setting.title
        for setting in codec_settings(VIEW, 32)
        if np.array_equal(np.asarray(load_file(setting.encode(image).data)), np.asarray(image))
    }
    assert kept == {"PNG, lossless"}


def test_fixed_headers_are_as_long_for_every_picture(image: Image.Image, other: Image.Image) -> None:
    for setting in codec_settings(VIEW, 32):
        if setting.codec in {"WebP", "AVIF"} or setting.name.startswith("lossless"):
            headers = {len(file.data) - file.bare_bytes for file in map(setting.encode, (image, other))}
            assert max(headers) - min(headers) <= 1, "WebP fills up to even lengths"


def test_headers_of_jpeg_xl_are_the_same_in_every_setting_of_a_size(
    image: Image.Image, other: Image.Image
) -> None:
    headers: dict[int | None, set[bytes]] = {}
    for setting in codec_settings(VIEW, 32):
        if setting.codec == "JXL":
            for file in map(setting.encode, (image, other)):
                header = file.data[: len(file.data) - file.bare_bytes]
                headers.setdefault(setting.side, set()).add(header)
    assert all(len(each) == 1 for each in headers.values())


def test_a_chroma_that_is_kept_costs_bytes(image: Image.Image) -> None:
    sizes = {
        each.name: len(each.encode(image).data)
        for each in codec_settings(VIEW, 32, (90,))
        if each.codec == "JPEG"
    }
    assert sizes["4:2:0, quality 90"] < sizes["4:4:4, quality 90"]
