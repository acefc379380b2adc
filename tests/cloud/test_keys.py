"""Keys are rotated by writing the file."""

from __future__ import annotations

import logging
import os
import resource
from contextlib import contextmanager
from pathlib import PosixPath
from typing import TYPE_CHECKING

import pytest

from splitwire.cloud.errors import KeyMissing, KeyWrong
from splitwire.cloud.inference.keys import MAX_FILE_BYTES, Keys
from splitwire.shared.errors import SettingsError
from tests.waiting import alarm

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    path.chmod(0o600)
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


def test_a_file_written_again_within_a_tick_of_its_clock_is_read_again(file: Path, clock: Clock) -> None:
    status = file.stat()

    class Still(PosixPath):
        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
            return status

    keys = Keys(Still(file), clock=clock)
    file.write_text("new\n")
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


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Have every file descriptor of this process in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_key_revoked_while_no_descriptor_was_free_is_refused_as_soon_as_one_is(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text("old\nother\n")
    keys = Keys(file, clock=clock)
    file.write_text("other\n")
    with no_descriptors():
        for clock.now in (2, 4, 6):
            assert accepts(keys, "old"), "nothing else is known yet"
    assert [record.levelno for record in caplog.records] == [logging.ERROR], "said once"
    clock.now = 8
    assert (accepts(keys, "old"), accepts(keys, "other")) == (False, True)


def test_what_comes_and_goes_is_said_each_time(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys(file, clock=clock)
    away = file.with_name("away")
    for now in (2, 6):
        file.rename(away)
        clock.now = now
        assert accepts(keys, "old")
        away.rename(file)
        clock.now = now + 2
        assert accepts(keys, "old")
    assert [record.levelno for record in caplog.records if record.levelno > logging.INFO] == [
        logging.ERROR
    ] * 2


def put(kind: str, path: Path) -> None:
    """Put something else where a file should be."""
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
        case "huge file":
            with path.open("wb") as file:
                file.truncate(MAX_FILE_BYTES + 1)


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "huge file"])
def test_anything_but_a_small_regular_file_is_refused_at_the_start_and_when_it_is_looked_at_again(
    file: Path, clock: Clock, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Keys(file, clock=clock)
    put(kind, file)
    with alarm():
        for clock.now in (2, 4):
            assert accepts(keys, "old")
    (record,) = caplog.records
    assert record.getMessage().endswith(("(not a regular file)", "(over 1,048,576 bytes)"))
    with pytest.raises(SettingsError, match="can't be read"), alarm():
        Keys(file)


@pytest.mark.parametrize(("mode", "warnings"), [(0o644, 1), (0o604, 1), (0o640, 0), (0o600, 0)])
def test_a_file_that_every_user_can_read_is_warned_of_once(
    file: Path, clock: Clock, mode: int, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    file.chmod(mode)
    keys = Keys(file, clock=clock)
    file.write_text("new\n")
    clock.now = 2
    assert accepts(keys, "new")
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [str(file) in message and "chmod" in message for message in messages] == [True] * warnings


@pytest.mark.parametrize("header", [b"", b"Bearer", b"Bearer ", b"Basic old", b"old"])
def test_a_request_without_a_bearer_key_is_told_that_one_is_needed(file: Path, header: bytes) -> None:
    with pytest.raises(KeyMissing):
        Keys(file).check(header)


@pytest.mark.parametrize("key", ["ol", "oldd", "OLD", "\xfcber", "old old"])
def test_another_key_is_wrong(file: Path, key: str) -> None:
    assert not accepts(Keys(file), key)


def test_without_a_file_no_key_is_asked_for() -> None:
    Keys(None).check(b"")
