"""The outbox of a watched folder: what was committed stays, and a picture is answered once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from splitwire.edge.errors import OutboxError, OutboxForeign, OutboxHeld
from splitwire.edge.results import Answered, Encoded, Failed
from splitwire.edge.watch.folder import Seen
from splitwire.edge.watch.outbox import Outbox, digest, open_outbox
from splitwire.shared.errors import codes_of
from tests.watched import FullDisk

READER = """
import sqlite3, sys
from contextlib import closing
with closing(sqlite3.connect(sys.argv[1])) as connection:
    connection.execute("SELECT * FROM pictures").fetchall()
"""
CODE = Encoded(quality="int8", payload=b"\x00\xff code", own=None, timings_ms={"load": 1.5})


def seen(name: str = "a.png", mtime_ns: int = 2) -> Seen:
    return Seen(path=Path("/pictures") / name, size=1, mtime_ns=mtime_ns, ctime_ns=3)


def answer(label: str = "cat") -> Answered:
    return Answered(path="/pictures/a.png", label=label, class_id=3, probability=0.75, source="cloud")


def refusal() -> Failed:
    return Failed(path="/pictures/a.png", error="CloudRefused", message="another bundle", exit_code=6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.sqlite"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """What another program reads."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
    with open_outbox(path) as outbox:
        (waiting,) = outbox.waiting(7, 10)
        assert (waiting.sha256, waiting.path, waiting.encoded, waiting.attempts) == (
            "1",
            "/pictures/a.png",
            CODE,
            0,
        )
        assert outbox.knows(seen())
        assert not outbox.knows(seen(mtime_ns=9))
        assert not outbox.knows(seen("b.png"))


def test_a_picture_is_answered_once(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
        outbox.settle("answered", {"1": answer("cat")})
        for state in ("answered", "waiting", "set aside"):
            outbox.settle(state, {"1": answer("dog")})
        outbox.release()
        outbox.encode_again("1", 8, CODE)
        assert outbox.waiting(7, 10) == outbox.outdated(7) == []
    assert rows(path, "SELECT state, label, attempts, encoded FROM pictures") == [
        ("answered", "cat", 1, None)
    ]


def test_what_was_not_said_is_said_until_it_was(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
        assert outbox.unsaid() == {}
        outbox.settle("answered", {"1": answer()})
    for _ in range(2):
        with open_outbox(path) as outbox:
            assert outbox.unsaid() == {"1": answer()}
    with open_outbox(path) as outbox:
        outbox.said(["1"])
        assert outbox.unsaid() == {}


def test_what_was_set_aside_keeps_its_code_and_waits_again_when_released(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
        outbox.settle("set aside", {"1": refusal()})
        assert outbox.releasable()
        assert outbox.waiting(7, 10) == []
        assert outbox.unsaid() == {"1": refusal()}
        outbox.release()
        (waiting,) = outbox.waiting(7, 10)
        assert (waiting.encoded, waiting.attempts) == (CODE, 1)
        assert outbox.unsaid() == {}


def test_the_least_tried_pictures_come_first_and_of_them_the_oldest(path: Path) -> None:
    with open_outbox(path) as outbox:
        for sha256 in ("c", "a", "b"):
            outbox.add(seen(sha256), sha256, 7, CODE)
        assert [picture.sha256 for picture in outbox.waiting(7, 2)] == ["c", "a"]
        outbox.settle("waiting", {"c": refusal()})
        assert [picture.sha256 for picture in outbox.waiting(7, 10)] == ["a", "b", "c"]


def test_a_code_for_another_bundle_is_not_sent_but_made_again(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
        assert outbox.waiting(8, 10) == []
        assert [picture.sha256 for picture in outbox.outdated(8)] == ["1"]
        outbox.encode_again("1", 8, CODE)
        assert [picture.sha256 for picture in outbox.waiting(8, 10)] == ["1"]


def test_one_content_in_several_places_is_one_row(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen("a.png"), "1", 7, CODE)
        outbox.place(seen("b.png"), "1")
        outbox.place(seen("b.png", mtime_ns=9), "1")
        assert outbox.has("1")
        assert sorted(outbox.paths("1")) == [Path("/pictures/a.png"), Path("/pictures/b.png")]
        assert outbox.knows(seen("b.png", mtime_ns=9))
    assert rows(path, "SELECT count(*) FROM pictures") == [(1,)]


def test_what_is_no_picture_has_a_row_with_its_error(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.fail(seen(), digest(b"text"), refusal())
        assert outbox.has(digest(b"text"))
        assert list(outbox.unsaid().values()) == [refusal()]
        assert outbox.waiting(7, 10) == []
    assert rows(path, "SELECT state, error FROM pictures") == [("failed", "another bundle")]


@pytest.mark.parametrize("name", [b"plain.png", "ü.png".encode(), b"b\xff\n.png"])
def test_any_file_name_can_be_kept(path: Path, name: bytes) -> None:
    file = seen(os.fsdecode(name))
    with open_outbox(path) as outbox:
        outbox.add(file, "1", 7, CODE)
        assert outbox.knows(file)
        assert outbox.paths("1") == [file.path]


def test_others_can_read_it_while_it_is_kept(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
        outbox.settle("answered", {"1": answer()})
        query = "SELECT state, label, class_id, probability, source, error FROM pictures"
        assert rows(path, query) == [("answered", "cat", 3, 0.75, "cloud", None)]
        (moments,) = rows(path, "SELECT first_seen, settled FROM pictures")
        assert all(str(moment).endswith("+00:00") for moment in moments)


def test_it_survives_a_power_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: dict[Path, sqlite3.Connection] = {}

    class Spied(sqlite3.Connection):
        def __init__(self, database: Path, *, timeout: float, isolation_level: None) -> None:
            super().__init__(database, timeout=timeout, isolation_level=isolation_level)
            opened[database] = self

    monkeypatch.setattr(sqlite3, "connect", Spied)
    with open_outbox(path):
        assert opened[path].execute("PRAGMA journal_mode").fetchone() == ("wal",)
        full = 2
        assert opened[path].execute("PRAGMA synchronous").fetchone() == (full,)


def refused(path: Path) -> OutboxError:
    with pytest.raises(OutboxError) as raised, open_outbox(path, lock_seconds=0.05):
        pass
    assert codes_of(raised.value).exit == 9
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"outbox {path}: ")
    return raised.value


def test_a_file_that_is_something_else_is_refused_and_left_as_it_is(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"holiday plans" * 100)
    assert isinstance(refused(path), OutboxForeign)
    assert path.read_bytes() == b"holiday plans" * 100
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE pictures (sha256)")
    connection.close()
    before = other.read_bytes()
    assert isinstance(refused(other), OutboxForeign)
    assert other.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"record.sqlite", "other.sqlite"}


def test_a_record_of_a_newer_release_is_refused(path: Path) -> None:
    with open_outbox(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    error = refused(path)
    assert isinstance(error, OutboxForeign)
    assert "a newer release" in str(error)


def test_a_record_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    assert "--outbox" in str(refused(tmp_path / "absent" / "record.sqlite"))
    assert "--outbox" in str(refused(tmp_path))


def test_a_record_of_the_first_release_goes_on(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE tries")  # it had none
    connection.close()
    with open_outbox(path) as outbox:
        assert outbox.begin("2") == 1
        assert [picture.sha256 for picture in outbox.waiting(7, 10)] == ["1"]


def test_tries_that_did_not_end_are_counted_over_restarts(path: Path) -> None:
    for times in (1, 2, 3):
        with open_outbox(path) as outbox:
            assert outbox.begin("1") == times
            assert outbox.begin(f"another {times}") == 1
    with open_outbox(path) as outbox:
        outbox.end("1")
        assert outbox.begin("1") == 1


def test_what_was_avoided_is_said_and_is_not_released_but_may_be_tried_again(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.fail(seen(), "1", refusal(), costly=True)
        outbox.release()
        assert outbox.unsaid() == {"1": refusal()}
        assert outbox.knows(seen())
        assert not outbox.has("1")
        assert not outbox.releasable()
        assert rows(path, "SELECT state, error FROM pictures") == [("set aside", "another bundle")]
        outbox.add(seen(mtime_ns=9), "1", 7, CODE)
        assert outbox.has("1")
        assert [picture.sha256 for picture in outbox.waiting(7, 10)] == ["1"]


def test_what_can_not_be_encoded_again_is_not_released_and_its_tries_have_ended(path: Path) -> None:
    with open_outbox(path) as outbox:
        outbox.add(seen(), "1", 7, CODE)
        outbox.begin("1")
        outbox.forgo("1", refusal())
        outbox.release()
        assert outbox.unsaid() == {"1": refusal()}
        assert not outbox.has("1")
        assert not outbox.releasable()
        assert outbox.begin("1") == 1
        outbox.add(seen(mtime_ns=9), "1", 7, CODE)
        assert [picture.sha256 for picture in outbox.waiting(7, 10)] == ["1"]
        outbox.settle("answered", {"1": answer()})
        outbox.forgo("1", refusal())
        assert rows(path, "SELECT state FROM pictures") == [("answered",)]


@pytest.mark.parametrize("companion", ["", "-wal", "-shm", "-lock"])
@pytest.mark.parametrize("fate", ["deleted", "replaced", "moved with its folder"])
def test_a_record_that_is_not_where_it_was_takes_nothing(tmp_path: Path, companion: str, fate: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "record.sqlite"
    with open_outbox(path) as outbox:
        outbox.check()
        file = path.with_name(path.name + companion)
        if fate == "moved with its folder":
            folder.rename(tmp_path / "elsewhere")
        else:
            file.rename(tmp_path / "kept")
        if fate == "replaced":
            file.write_bytes((tmp_path / "kept").read_bytes())
        for use in (outbox.check, lambda: outbox.add(seen(), "1", 7, CODE)):
            with pytest.raises(OutboxError, match="was deleted or replaced while in use") as raised:
                use()
            assert codes_of(raised.value).exit == 9
            assert "\n" not in str(raised.value)


def test_others_that_read_it_come_and_go(path: Path) -> None:
    with open_outbox(path) as outbox:
        for count in range(3):
            assert rows(path, "SELECT count(*) FROM files") == [(count,)]
            subprocess.run([sys.executable, "-c", READER, path], check=True)
            outbox.add(seen(f"{count}.png"), str(count), 7, CODE)
            outbox.check()


def test_two_watchers_can_not_have_one_outbox(path: Path) -> None:
    with open_outbox(path) as outbox:
        error = refused(path)
        assert isinstance(error, OutboxHeld)
        assert "another edge-client watch" in str(error)
        outbox.add(seen(), "1", 7, CODE)
    with open_outbox(path) as outbox:
        assert outbox.has("1")


def test_an_outbox_that_another_program_locks_is_one_clear_line(path: Path) -> None:
    with open_outbox(path, lock_seconds=0.05) as outbox:
        outbox.add(seen(), "1", 7, CODE)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutboxHeld, match="another program has locked it"):
            outbox.settle("answered", {"1": answer()})
        other.close()
        assert len(outbox.waiting(7, 10)) == 1
        outbox.settle("answered", {"1": answer()})


def test_a_full_disk_is_one_clear_line_and_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(outbox: Outbox) -> None:
        for number in range(1000):
            outbox.add(seen(f"{number}.png"), str(number), 7, CODE)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", FullDisk)
        with open_outbox(path) as outbox, pytest.raises(OutboxError, match="the disk is full"):
            fill(outbox)
    with open_outbox(path) as outbox:
        kept = outbox.waiting(7, -1)
        assert len(kept) > 10
        assert all(outbox.knows(seen(f"{picture.sha256}.png")) for picture in kept)
        assert not outbox.has(str(len(kept)))
