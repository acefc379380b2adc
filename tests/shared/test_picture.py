"""Any common picture becomes the same kind of input; anything else one clear error."""

from __future__ import annotations

import subprocess
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import GifImagePlugin, Image

from splitwire.shared.errors import PictureBroken, PictureMissing
from splitwire.shared.pictures.decoding import View, decode, square
from splitwire.shared.pictures.loading import Preparation, load_picture, prepare
from tests.hostile_pictures import encoded

if TYPE_CHECKING:
    from pathlib import Path

RED = (255, 0, 0)
PREPARATION = Preparation()


def test_the_input_is_3x224x224_float32_normalised_as_the_manifest_says() -> None:
    inputs = prepare(Image.new("RGB", (50, 40), (10, 20, 30)), PREPARATION)
    assert inputs.shape == (3, 224, 224)
    assert inputs.dtype == np.float32
    expected = (np.array([10, 20, 30]) / 255 - PREPARATION.mean) / PREPARATION.std
    assert np.allclose(inputs, expected[:, None, None], atol=1e-3)


def test_the_centre_square_is_kept() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste(RED, (100, 0, 200, 100))
    assert np.asarray(square(image, PREPARATION.view)).min(axis=(0, 1)).tolist() == [255, 0, 0]


def test_a_picture_of_the_training_size_is_enlarged_as_in_training() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    expected = image.resize((224, 224), Image.Resampling.BILINEAR)
    assert np.array_equal(np.asarray(square(image, PREPARATION.view)), np.asarray(expected))


def test_a_larger_picture_is_reduced_with_antialiasing() -> None:
    lines = np.zeros((896, 896, 3), dtype=np.uint8)
    lines[::2] = 255
    grey = np.asarray(square(Image.fromarray(lines), PREPARATION.view))
    assert abs(grey[2:-2].astype(int) - 127).max() <= 2, "but for the first and last lines"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (8, 8), 100), (100, 100, 100)),
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (Image.new("LA", (8, 8), (100, 255)), (100, 100, 100)),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 255)), RED),
        (Image.new("RGB", (8, 8), RED).quantize(4), RED),
        (Image.new("I;16", (8, 8), 100 * 256), (100, 100, 100)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, int, int]) -> None:
    assert load_picture(encoded(image)).getpixel((4, 4)) == expected


def test_cmyk_becomes_rgb() -> None:
    picture = load_picture(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"))
    assert picture.mode == "RGB"
    assert picture.getpixel((4, 4)) == (255, 255, 255)


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    assert load_picture(encoded(image, "JPEG", exif=exif)).size == (10, 20)


def test_a_palette_with_transparency_is_laid_over_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0] * 256)
    assert load_picture(encoded(image, transparency=0)).getpixel((4, 4)) == (255, 255, 255)


def test_a_missing_file_a_directory_and_a_text_are_told_apart(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    with pytest.raises(PictureMissing, match="no such file"):
        load_picture(tmp_path / "absent.png")
    with pytest.raises(PictureMissing, match="a directory"):
        load_picture(tmp_path)
    with pytest.raises(PictureBroken, match="not a picture"):
        load_picture(text)
    with pytest.raises(PictureBroken, match="not a picture"):
        load_picture(b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_cut_off_anywhere_is_broken(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(PictureBroken):
        load_picture(data[: int(share * len(data))])


def test_an_animation_is_refused() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureBroken, match="several frames"):
        load_picture(data)


def test_an_animation_is_recognised_without_counting_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    counting = property(lambda _: pytest.fail("they were counted"))
    monkeypatch.setattr(GifImagePlugin.GifImageFile, "n_frames", counting)
    with pytest.raises(PictureBroken, match="several frames"):
        load_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert load_picture(encoded(frames[0], "GIF")).getpixel((4, 4)) == RED


def test_a_phones_picture_with_extras_is_one_picture() -> None:
    extra = Image.new("RGB", (4, 4))
    data = encoded(Image.new("RGB", (8, 8), "white"), "MPO", save_all=True, append_images=[extra])
    assert load_picture(data).size == (8, 8)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA", "PCX", "JPEG2000"])
def test_a_format_that_is_not_on_the_list_is_no_picture_and_starts_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(Image.new("RGB", (32, 32)), kind)
    for start in ("Popen", "run", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, start, lambda *_, **__: pytest.fail("something was started"))
    with pytest.raises(PictureBroken, match=r"not a picture in a known format \(JPEG, PNG, WEBP"):
        load_picture(data)


@pytest.mark.parametrize("size", [(32, 32), (451, 300), (224, 999), (1791, 1791), (1, 7)])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_square_is_what_the_whole_picture_gives_to_the_bit(
    size: tuple[int, int], orientation: int, kind: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*reversed(size), 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels)
    data = encoded(image.convert("RGB") if kind == "JPEG" else image, kind, exif=exif)
    whole = load_picture(data)
    extent = min(whole.size)
    left, top = (whole.width - extent) // 2, (whole.height - extent) // 2
    expected = whole.crop((left, top, left + extent, top + extent)).resize(
        (224, 224), Image.Resampling.BILINEAR
    )
    assert decode(data, "", View(224)).tobytes() == expected.tobytes()


def test_a_large_jpeg_is_reduced_while_it_is_decoded_and_looks_the_same() -> None:
    noise = Image.effect_noise((300, 200), 80).resize((3000, 2000), Image.Resampling.BICUBIC)
    data = encoded(noise.convert("RGB"), "JPEG", quality=95)
    reduced = np.asarray(decode(data, "", View(224))).astype(int)
    whole = np.asarray(square(load_picture(data), PREPARATION.view)).astype(int)
    difference = np.abs(reduced - whole)
    assert 0 < difference.max() <= 6
    assert difference.mean() < 1


def test_a_decompression_bomb_is_refused_unread() -> None:
    data = bytearray(encoded(Image.new("1", (8, 8))))
    data[16:24] = (100_000).to_bytes(4, "big") * 2  # width and height
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(PictureBroken, match="pixels; make it smaller"):
        load_picture(bytes(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM", "ICO", "TGA"])
@given(position=st.integers(0, 2000), change=st.integers(1, 255))
def test_a_damaged_picture_is_a_picture_or_broken(kind: str, position: int, change: int) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    data = bytearray(encoded(noise, kind))
    data[position % len(data)] ^= change
    with suppress(PictureBroken):
        assert load_picture(bytes(data)).mode == "RGB"


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(PictureBroken, match="floating-point"):
        load_picture(encoded(Image.new("F", (8, 8)), "TIFF"))
