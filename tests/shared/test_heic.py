"""A phone's HEIC is a picture where the package is installed; elsewhere a sentence says what to install."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from splitwire.shared.errors import PictureBroken, PictureCostly
from splitwire.shared.pictures import decoding
from splitwire.shared.pictures.decoding import decode
from splitwire.shared.pictures.headers import is_heic
from tests.hostile_pictures import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

BRANDED = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(64)


@pytest.fixture
def fresh() -> Iterator[None]:
    decoding.reads_heic.cache_clear()
    yield
    decoding.reads_heic.cache_clear()


def heic(image: Image.Image, **options: object) -> bytes:
    pytest.importorskip("pillow_heif")
    assert decoding.reads_heic()
    return encoded(image, "HEIF", quality=90, **options)


def test_a_heic_is_told_by_its_brands() -> None:
    assert is_heic(BRANDED)
    assert is_heic(b"\0\0\0\x14ftypheix\0\0\0\0mif1")
    assert not is_heic(encoded(Image.new("RGB", (8, 8)), "AVIF"))
    assert not is_heic(b"\0\0\0\x14ftypmp42\0\0\0\0isom")
    assert not is_heic(b"\xff\xff\xff\xffftyp")


@pytest.mark.usefixtures("fresh")
def test_without_the_package_a_sentence_says_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        PictureBroken, match=r"pillow-heif; install it, in a clone with: pip install '\.\[heic\]'"
    ):
        decode(BRANDED, "IMG_1.HEIC")


def test_a_heic_is_turned_as_it_says_and_looks_as_it_did() -> None:
    image = Image.radial_gradient("L").convert("RGB").resize((300, 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(heic(image, exif=exif.tobytes()), "")
    assert turned.size == (200, 300)
    expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(np.asarray(turned).astype(int) - expected).mean() < 3


def test_a_heic_with_transparency_is_laid_over_white() -> None:
    assert decode(heic(Image.new("RGBA", (64, 64), (0, 0, 0, 0))), "").getpixel((9, 9)) == (255, 255, 255)


def test_a_heic_that_costs_too_much_is_refused_by_its_header() -> None:
    data = heic(Image.new("RGB", (64, 64)))
    size = data.index(b"ispe") + 8
    with pytest.raises(PictureCostly, match="8000 x 6000 pixels"):
        decode(data[:size] + (8000).to_bytes(4) + (6000).to_bytes(4) + data[size + 8 :], "")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_heic_is_broken(share: float) -> None:
    data = heic(Image.effect_noise((64, 64), 60).convert("RGB"))
    with pytest.raises(PictureBroken):
        decode(data[: int(share * len(data))], "")
