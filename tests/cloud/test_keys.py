"""Keys are rotated by writing the file."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from cloud.keys import Keys
from shared.errors import KeyMissing, KeyWrong

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("old\n")
    return path


def accepts(keys: Keys, key: str) -> bool:
    try:
        keys.check(f"Bearer {key}".encode("latin-1"))
    except KeyWrong:
        return False
    return True


def test_a_changed_file_is_read_again_after_a_second_and_not_before(file: Path, clock: Clock) -> None:
    keys = Keys(file, clock=clock)
    file.write_text("new\nnewer\n")
    clock.now = 0.9
    assert (accepts(keys, "old"), accepts(keys, "new")) == (True, False)
    clock.now = 1.1
    assert [accepts(keys, key) for key in ("old", "new", "newer")] == [False, True, True]


def test_a_file_put_in_its_place_with_the_same_size_and_time_is_read_again(file: Path, clock: Clock) -> None:
    keys = Keys(file, clock=clock)
    successor = file.with_name("next")
    successor.write_text("new\n")
    times = file.stat().st_mtime_ns
    os.utime(successor, ns=(times, times))
    successor.replace(file)
    clock.now = 2
    assert (accepts(keys, "old"), accepts(keys, "new")) == (False, True)


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"\xff\xfe", "schl\u00fcssel\n".encode()])
def test_a_file_that_can_not_be_used_changes_nothing_and_is_said_once(
    file: Path, clock: Clock, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys(file, clock=clock)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    for clock.now in (2, 4, 6):
        assert accepts(keys, "old")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    file.write_text("mended\n")
    clock.now = 8
    assert (accepts(keys, "old"), accepts(keys, "mended")) == (False, True)


@pytest.mark.parametrize("header", [b"", b"Bearer", b"Bearer ", b"Basic old", b"old"])
def test_a_request_without_a_bearer_key_is_told_that_one_is_needed(file: Path, header: bytes) -> None:
    with pytest.raises(KeyMissing):
        Keys(file).check(header)


@pytest.mark.parametrize("key", ["ol", "oldd", "OLD", "\xfcber", "old old"])
def test_another_key_is_wrong(file: Path, key: str) -> None:
    assert not accepts(Keys(file), key)


def test_without_a_file_no_key_is_asked_for() -> None:
    Keys(None).check(b"")
