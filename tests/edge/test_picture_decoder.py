"""A picture costs at most 200 MB and 10 seconds, whatever is in its file."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from splitwire.edge.compute.picture_decoder import PictureDecoder
from splitwire.edge.errors import DecoderFailed
from splitwire.shared.errors import PictureBroken, PictureCostly
from splitwire.shared.pictures.decoding import LIMIT_BYTES, View, decode, reads_heic
from splitwire.shared.pictures.headers import is_one_scan
from splitwire.shared.pictures.loading import MAX_FILE_BYTES
from tests.hostile_pictures import (
    encoded,
    large_animation,
    many_offsets,
    many_scans,
    many_segments,
    of_size,
    png_row,
    scan_per_channel,
    text_bomb,
    webp_bomb,
    wide_text_bomb,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SIDE = 224
VIEW = View(SIDE)
ROTATED = Image.Exif()
ROTATED[0x0112] = 6


@pytest.fixture
def decoder() -> Iterator[PictureDecoder]:
    with closing(PictureDecoder()) as made:
        yield made


def processes() -> list[int]:
    """The decoding processes that this one started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if parent == os.getpid() and b"decoder_process" in command:
            found.append(int(folder.name))
    return found


def status(pid: int, key: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


def cost(decoder: PictureDecoder, data: bytes) -> int:
    """How much more memory decoding takes at its height, here and there, than what is held before."""
    decoder(encoded(Image.new("RGB", (8, 8)), "BMP"), "first", VIEW, 60)  # it has started
    (pid,) = processes()
    before = 0
    for process in (pid, os.getpid()):
        Path(f"/proc/{process}/clear_refs").write_text("5")  # its highest memory is counted anew
        before += status(process, "VmRSS")
    try:
        decoder(data, "a picture", VIEW, 60)
    finally:
        after = sum(status(process, "VmHWM") for process in (pid, os.getpid()))
    return after - before + len(data)


@pytest.mark.parametrize(
    ("kind", "size", "mode", "options"),
    [
        ("JPEG", (12000, 9000), "RGB", {}),
        ("JPEG", (5000, 4000), "CMYK", {"progressive": True, "subsampling": 0}),
        ("JPEG", (6000, 4000), "RGB", {"progressive": True, "exif": ROTATED}),
        ("PNG", (8000, 6000), "RGB", {"compress_level": 1}),
        ("PNG", (5000, 4800), "RGBA", {"compress_level": 1, "exif": ROTATED}),
        ("PNG", (7000, 7000), "I;16", {"compress_level": 1}),
        ("WEBP", (4000, 3000), "RGB", {"method": 0, "exif": ROTATED}),
        ("WEBP", (4000, 3000), "RGBA", {"method": 0, "lossless": True, "quality": 0}),
        ("AVIF", (4000, 3000), "RGBA", {"speed": 10}),
        ("TIFF", (5000, 4000), "CMYK", {"compression": "tiff_lzw", "strip_size": 1 << 30}),
        ("GIF", (7000, 6000), "P", {}),
        ("BMP", (4000, 3000), "RGB", {}),
    ],
)
def test_a_large_picture_is_decoded_within_the_limit(
    decoder: PictureDecoder, kind: str, size: tuple[int, int], mode: str, options: dict[str, object]
) -> None:
    assert cost(decoder, encoded(Image.new(mode, size), kind, **options)) < LIMIT_BYTES


@pytest.mark.parametrize(("size", "mode"), [((5712, 4284), "RGB"), ((4000, 3000), "RGBA")])
def test_a_phones_heic_is_decoded_within_the_limit_in_the_process(
    decoder: PictureDecoder, size: tuple[int, int], mode: str
) -> None:
    pytest.importorskip("pillow_heif")
    assert reads_heic()
    assert cost(decoder, encoded(Image.new(mode, size), "HEIF", quality=10)) < LIMIT_BYTES
    assert processes()


@pytest.mark.parametrize(
    ("kind", "size", "options"),
    [
        ("JPEG", (7000, 6000), {"progressive": True}),
        ("PNG", (8000, 7000), {"compress_level": 1}),
        ("WEBP", (4200, 3200), {"method": 0}),
        ("AVIF", (4200, 3200), {"speed": 10}),
        ("TIFF", (6000, 6000), {"compression": "tiff_lzw", "strip_size": 1 << 30}),
    ],
)
def test_a_picture_over_the_limit_is_refused_by_its_header(
    kind: str, size: tuple[int, int], options: dict[str, object]
) -> None:
    data = encoded(Image.new("RGB", size), kind, **options)
    with pytest.raises(PictureCostly, match=f"200 MB: {size[0]} x {size[1]} pixels; make it smaller first"):
        decode(data, "a picture", VIEW)


@pytest.mark.parametrize(
    "make",
    [
        webp_bomb,
        lambda: many_segments(2_000_000),
        lambda: many_offsets(7_000_000),
        lambda: text_bomb(200),
    ],
    ids=["WebP of 88 million pixels", "JPEG of empty segments", "TIFF of empty strips", "PNG of texts"],
)
def test_what_asks_for_more_than_its_header_says_does_not_get_it(
    decoder: PictureDecoder, make: Callable[[], bytes]
) -> None:
    data = make()
    try:
        assert cost(decoder, data) < LIMIT_BYTES
    except PictureBroken as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right
    assert all(status(pid, "VmHWM") < LIMIT_BYTES + (40 << 20) for pid in processes())
    assert decoder(webp(), "another", VIEW, 60).size == (SIDE, SIDE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: scan_per_channel((9400, 9400), "RGB"),
        lambda: scan_per_channel((9400, 9400), "CMYK"),
        lambda: of_size((9400, 9400)),
        lambda: of_size((2300, 2300), "CMYK"),
        lambda: of_size((65_500, 100), sampling=0x24),
        lambda: of_size((65_500, 1)),
        lambda: of_size((100, 65_500), sampling=0x42),
        lambda: many_segments(1 << 17),
        lambda: png_row(6_900_000),
        lambda: png_row(6_900_000, interlaced=True),
        lambda: png_row(1_000_000, interlaced=True),
        lambda: text_bomb(64),
        lambda: wide_text_bomb(64),
    ],
    ids=[
        "JPEG of a scan for each channel",
        "CMYK JPEG of a scan for each channel",
        "JPEG of 88 million pixels",
        "CMYK JPEG",
        "wide JPEG with channels of other sizes",
        "widest JPEG",
        "highest JPEG",
        "JPEG of empty segments",
        "widest PNG",
        "widest interlaced PNG",
        "wide interlaced PNG",
        "PNG of texts",
        "PNG of texts of wide letters",
    ],
)
def test_a_small_file_takes_at_most_100_mb_of_the_device_itself(
    decoder: PictureDecoder, make: Callable[[], bytes]
) -> None:
    data = make()
    assert len(data) < 1 << 20
    before = status(os.getpid(), "VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    with suppress(PictureBroken):
        decoder(data, "a picture", VIEW, 60)
    assert status(os.getpid(), "VmHWM") - before < 100 << 20
    assert all(status(pid, "VmHWM") < LIMIT_BYTES + (40 << 20) for pid in processes())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (scan_per_channel((6000, 5000), "CMYK"), "6000 x 5000 pixels"),
        (webp_bomb(), "9400 x 9400 pixels"),
        (
            encoded(Image.new("RGB", (8, 8)), "WEBP", lossless=True)[:21] + b"\xff" * 32,
            "16384 x 16384 pixels",
        ),
        (b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0" * 4 + b"\xff" * 32, "16777216 x 16777216 pixels"),
        (encoded(Image.new("RGB", (8, 8)), "WEBP")[:26] + b"\xff" * 32, "16383 x 16383 pixels"),
        (large_animation((9000, 9000)), "9000 x 9000 pixels"),
    ],
    ids=[
        "JPEG of a scan for each channel",
        "WebP",
        "lossless WebP",
        "extended WebP",
        "lossy WebP",
        "animation",
    ],
)
def test_the_first_bytes_tell_what_costs_too_much(decoder: PictureDecoder, data: bytes, message: str) -> None:
    with pytest.raises(PictureCostly, match=f"takes over 200 MB: {message}; make it smaller first"):
        decoder(data, "a picture", VIEW, 60)


@pytest.mark.parametrize(
    ("kind", "options", "one"),
    [
        ("JPEG", {}, True),
        ("JPEG", {"exif": ROTATED, "restart_marker_rows": 1, "comment": "\xff\xda"}, True),
        ("JPEG", {"progressive": True}, False),
        ("PNG", {}, False),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_one_scan_is_told_from_others(
    kind: str, options: dict[str, object], mode: str, *, one: bool
) -> None:
    picture = Image.new(mode if kind == "JPEG" else "RGB", (64, 64))
    assert is_one_scan(encoded(picture, kind, **options)) is one


@pytest.mark.parametrize(
    "inserted",
    [
        b"\0",
        b"\xff\x00\0\4ab",
        b"\xff\xd0\0\4ab",
        b"\xff\xd8",
        b"\xff\xc2\0\x0b",
        b"\xff\xc9\0\x0b",
        b"\xff\xe0\0\1",
    ],
)
def test_where_libjpeg_may_see_other_segments_it_is_not_called_one_scan(inserted: bytes) -> None:
    data = encoded(Image.new("RGB", (64, 64)), "JPEG")
    assert is_one_scan(data[:2] + b"\xff" + data[2:]), "filled up"
    assert not is_one_scan(data[:2] + inserted + data[2:])
    assert not is_one_scan(data[: data.index(b"\xff\xda") + 4]), "cut off"


def webp() -> bytes:
    return encoded(Image.new("RGB", (8, 8)), "WEBP")


def test_a_picture_that_takes_too_long_is_stopped_and_the_next_is_decoded(decoder: PictureDecoder) -> None:
    data = many_scans(20_000)
    started = time.monotonic()
    with pytest.raises(PictureCostly, match=r"takes over 0\.5 s"):
        decoder(data, "a picture", VIEW, 0.5)
    assert time.monotonic() - started < 8
    assert processes() == []
    assert decoder(webp(), "another", VIEW, 60).size == (SIDE, SIDE)


def test_a_process_that_was_killed_costs_one_picture(decoder: PictureDecoder) -> None:
    errors: list[PictureBroken] = []

    def slow() -> None:
        try:
            decoder(many_scans(20_000), "a picture", VIEW, 60)
        except PictureBroken as exc:
            errors.append(exc)

    thread = threading.Thread(target=slow)
    thread.start()
    while not (pids := processes()):
        time.sleep(0.01)
    time.sleep(0.5)
    os.kill(pids[0], signal.SIGKILL)
    thread.join(20)
    assert "ended the process that did it" in str(errors[0])
    assert decoder(webp(), "another", VIEW, 60).size == (SIDE, SIDE)
    os.kill(processes()[0], signal.SIGKILL)  # between two pictures
    time.sleep(0.1)
    assert decoder(webp(), "a third", VIEW, 60).size == (SIDE, SIDE)


def test_closing_stops_a_picture_on_its_way(decoder: PictureDecoder) -> None:
    def slow() -> None:
        with pytest.raises(PictureCostly):
            decoder(many_scans(20_000), "a picture", VIEW, 60)

    thread = threading.Thread(target=slow)
    thread.start()
    while not processes():
        time.sleep(0.01)
    time.sleep(0.5)
    decoder.close()
    thread.join(5)
    assert not thread.is_alive()
    assert processes() == []


def test_small_pictures_need_no_process(decoder: PictureDecoder) -> None:
    for kind in ("JPEG", "PNG"):
        decoder(encoded(Image.new("RGB", (640, 480)), kind), "a picture", VIEW, 60)
    decoder(encoded(Image.new("RGB", (640, 480)), "JPEG", exif=ROTATED), "a picture", VIEW, 60)
    assert processes() == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_here_or_there_the_square_is_the_same(decoder: PictureDecoder, kind: str) -> None:
    small = encoded(Image.radial_gradient("L").convert("RGB"), kind)
    large = encoded(Image.radial_gradient("L").convert("RGB").resize((1500, 1200)), kind)
    for data in (small, large, large + bytes(1 << 20)):  # the last is too large to be decoded here
        assert decoder(data, "a picture", VIEW, 60).tobytes() == decode(data, "", VIEW).tobytes()


def test_why_there_is_no_picture_comes_from_the_process(decoder: PictureDecoder) -> None:
    with pytest.raises(PictureBroken, match=r"^a text: not a picture in a known format \(JPEG, PNG"):
        decoder(b"a text", "a text", VIEW, 60)
    with pytest.raises(PictureBroken, match="several frames"):
        decoder(
            encoded(Image.new("1", (8, 8)), "GIF", save_all=True, append_images=[Image.new("1", (8, 8), 1)]),
            "an animation",
            VIEW,
            60,
        )


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("", "No such file"),
        ("#!/bin/sh\nexit 3", "ended at its start with exit code 3"),
        ("#!/bin/sh\nexec sleep 60", "did not start within 0.3 s"),
    ],
)
def test_a_process_that_can_not_be_started_is_said_in_time(
    decoder: PictureDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str, reason: str
) -> None:
    place = tmp_path / "python"
    if python:
        place.write_text(python)
        place.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(place))
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(DecoderFailed, match=rf"can't be used \(.*{reason}"):
            decoder(webp(), "a picture", VIEW, 0.3)
    decoder.close()
    assert time.monotonic() - started < 8


def test_a_process_that_starts_late_decodes_the_next_picture(
    decoder: PictureDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "python"
    place.write_text(f'#!/bin/sh\nsleep 1\nexec {sys.executable} "$@"')
    place.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(place))
    with pytest.raises(DecoderFailed, match=r"did not start within 0\.1 s"):
        decoder(webp(), "a picture", VIEW, 0.1)
    assert decoder(webp(), "another", VIEW, 60).size == (SIDE, SIDE)


def test_bytes_are_limited_as_files_are(decoder: PictureDecoder) -> None:
    with pytest.raises(PictureBroken, match="over 64 MiB"):
        decoder(bytes(MAX_FILE_BYTES + 1), "a picture", VIEW, 60)


def test_nothing_is_imported_from_the_current_folder(
    decoder: PictureDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert decoder(webp(), "a picture", VIEW, 60).size == (SIDE, SIDE)
