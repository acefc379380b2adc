"""A picture may be given as a path, bytes, an open file, an image or an array: the answer is the same."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from splitwire.edge.compute.picture_decoder import PictureDecoder
from splitwire.edge.sources import name_of, opened
from splitwire.shared.errors import PictureBroken, PictureMissing
from splitwire.shared.pictures.decoding import View, decode
from tests.hostile_pictures import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.edge.sources import Picture

VIEW = View(224)
NOISE = np.random.default_rng(0).integers(0, 256, (90, 120, 4), dtype=np.uint8)
RGB = np.ascontiguousarray(NOISE[..., :3])
TURNED = Image.Exif()
TURNED[0x0112] = 6


@pytest.fixture(scope="module")
def decoder() -> Iterator[PictureDecoder]:
    decoder = PictureDecoder()
    yield decoder
    decoder.close()


def square(decoder: PictureDecoder, picture: Picture) -> bytes:
    return decoder(opened(picture, "picture"), "picture", VIEW, 60).tobytes()


def test_an_array_is_the_picture_with_its_pixels(decoder: PictureDecoder) -> None:
    expected = decode(encoded(Image.fromarray(RGB)), "", VIEW).tobytes()
    assert square(decoder, RGB) == expected
    assert square(decoder, NOISE[..., :3]) == expected, "not contiguous"
    grey = RGB[..., 0]
    assert square(decoder, grey) == decode(encoded(Image.fromarray(grey)), "", VIEW).tobytes()


@pytest.mark.parametrize(
    "array",
    [
        RGB / 255,
        RGB.astype(np.int64),
        RGB.transpose(2, 0, 1),
        NOISE,
        RGB[None],
        RGB[0, :, 0],
        RGB[:0],
        np.array(["a"]),
    ],
    ids=["floats", "integers", "channels first", "RGBA", "batch", "line", "empty", "words"],
)
def test_another_array_is_refused_with_what_is_expected(array: NDArray[np.uint8]) -> None:
    with pytest.raises(PictureBroken, match=r"an array of .*; uint8 is expected, \[height, width, 3\]"):
        opened(array, "picture 2")


@pytest.mark.parametrize(
    ("image", "kind", "options"),
    [
        (Image.fromarray(RGB), "JPEG", {"exif": TURNED}),
        (Image.fromarray(RGB), "PNG", {"exif": TURNED}),
        (Image.fromarray(NOISE), "PNG", {}),
        (Image.fromarray(RGB).quantize(9), "PNG", {"transparency": 3}),
        (Image.fromarray(RGB).convert("CMYK"), "JPEG", {}),
        (Image.fromarray(RGB[..., 0]), "PNG", {}),
        (Image.fromarray(RGB[..., 0].astype(np.uint16) * 257), "PNG", {}),
    ],
    ids=["turned JPEG", "turned PNG", "RGBA", "palette", "CMYK", "grey", "16 bit"],
)
def test_an_image_is_treated_as_its_file(
    decoder: PictureDecoder, image: Image.Image, kind: str, options: dict[str, object]
) -> None:
    data = encoded(image, kind, **options)
    expected = decode(data, "", VIEW).tobytes()
    with Image.open(io.BytesIO(data)) as unread:
        assert square(decoder, unread) == expected
        assert square(decoder, unread) == expected, "it can be used again"
        assert unread.mode == image.mode


def test_an_image_that_can_not_be_used_is_broken(decoder: PictureDecoder) -> None:
    with pytest.raises(PictureBroken, match="floating-point"):
        square(decoder, Image.new("F", (8, 8)))
    with pytest.raises(PictureBroken, match="damaged, cut off"):
        square(decoder, Image.open(io.BytesIO(encoded(Image.fromarray(RGB))[:900])))


def test_an_open_file_is_read_from_where_it_is(decoder: PictureDecoder, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(RGB))
    expected = decode(data, "", VIEW).tobytes()
    assert square(decoder, io.BytesIO(data)) == expected
    path = tmp_path / "cat.png"
    path.write_bytes(b"head" + data)
    with path.open("rb") as file:
        file.seek(4)
        assert square(decoder, file) == expected
    with pytest.raises(PictureMissing, match=r"can't be read .*closed"):
        opened(file, "picture")
    with path.open(encoding="latin-1") as text, pytest.raises(PictureBroken, match="binary mode"):
        opened(text, "picture")  # type: ignore[arg-type]


def test_what_is_no_picture_at_all_is_refused_with_what_is() -> None:
    with pytest.raises(PictureBroken, match="int is no picture; a path, bytes"):
        opened(3, "picture")  # type: ignore[arg-type]


def test_a_picture_has_the_name_of_its_file_or_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.png"
    Image.fromarray(RGB).save(path)
    with path.open("rb") as file, Image.open(path) as image:
        names = {name_of(each, "picture 3") for each in (path, str(path), file, image)}
    assert names == {str(path).replace("\n", "\\n")}
    for nameless in (
        b"",
        io.BytesIO(),
        RGB,
        Image.fromarray(RGB),
        Image.open(io.BytesIO(encoded(Image.fromarray(RGB)))),
    ):
        assert name_of(nameless, "picture 3") == "picture 3"
