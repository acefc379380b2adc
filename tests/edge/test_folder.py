"""A file is complete when it has not changed over two looks; looks are made when something changes."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from splitwire.edge.watch import folder as module
from splitwire.edge.watch.folder import Folder
from splitwire.shared.errors import SettingsError


def watched(path: Path, notices: list[str] | None = None, poll_seconds: float = 60) -> Folder:
    said = [] if notices is None else notices
    outbox = path / ".splitwire.sqlite"
    return Folder(path, outbox, settle=0.01, poll=poll_seconds, notice=said.append)


async def names(folder: Folder, looks: int) -> list[list[str]]:
    """What each of some looks gave; nothing of it is done."""
    given = []
    async with aclosing(folder.looks()) as looking:
        async for complete in looking:
            given.append([seen.path.name for seen in complete])
            if len(given) == looks:
                break
    return given


def test_a_file_is_complete_at_the_second_look_without_a_change(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    assert asyncio.run(names(watched(tmp_path), 3)) == [[], ["a.png"], ["a.png"]]


@pytest.mark.parametrize("depth", [1_100, 3_000])
def test_folders_may_be_nested_as_deep_as_the_system_can_name(tmp_path: Path, depth: int) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    notices: list[str] = []
    here = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    for number in range(depth):
        Path("d").mkdir()
        os.chdir("d")
        if number in {1_090, depth - 1}:
            Path(f"b{number}.png").touch()
    deepest = os.open(".", os.O_RDONLY)
    os.fchdir(here)
    try:
        found = asyncio.run(names(watched(tmp_path, notices), 2))[1]
    finally:  # pytest's own way to remove it is recursive
        os.fchdir(deepest)
        for _ in range(depth):
            for file in Path().glob("*.png"):
                file.unlink()
            os.chdir("..")
            Path("d").rmdir()
        os.fchdir(here)
        os.close(here)
        os.close(deepest)
    assert {"a.png", "b1090.png"} <= set(found)
    assert [notice.endswith("(File name too long)") for notice in notices] == [True] * (depth == 3_000)


def test_what_is_not_named_as_a_picture_is_left_alone(tmp_path: Path) -> None:
    for name in ("a.png", "notes.txt", "b"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "2026.11").mkdir()
    (tmp_path / "2026.11" / "c.HEIC").write_bytes(b"1")
    notices: list[str] = []
    assert sorted(asyncio.run(names(watched(tmp_path, notices), 3))[1]) == ["a.png", "b", "c.HEIC"]
    assert notices == ["files that are not named as pictures are left alone"]


def test_a_file_that_grows_is_not_complete(tmp_path: Path) -> None:
    file = tmp_path / "a.png"

    async def scenario() -> list[bool]:
        complete = []
        file.write_bytes(b"1")
        async with aclosing(watched(tmp_path).looks()) as looking:
            async for given in looking:
                complete.append(bool(given))
                if len(complete) < 4:
                    file.write_bytes(b"1" * (1 + len(complete)))
                elif given:
                    break
        return complete

    assert asyncio.run(scenario()) == [False, False, False, False, True]


def test_a_file_that_is_done_is_given_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.png"

    async def scenario() -> list[int]:
        sizes = []
        file.write_bytes(b"1")
        folder = watched(tmp_path)
        async with asyncio.timeout(20), aclosing(folder.looks()) as looking:
            async for complete in looking:
                for seen in complete:
                    sizes.append(seen.size)
                    folder.done(seen)
                    if len(sizes) == 2:
                        return sizes
                    file.write_bytes(b"22")
        return sizes

    assert asyncio.run(scenario()) == [1, 2]


def test_the_oldest_files_come_first_and_directories_are_gone_through(tmp_path: Path) -> None:
    for name in ("c.png", "sub/b.png", "sub/deep/a.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"1")
    (tmp_path / "linked.png").symlink_to(tmp_path / "c.png")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "nothing.png").symlink_to(tmp_path / "absent")
    assert asyncio.run(names(watched(tmp_path), 2))[1] == ["c.png", "linked.png", "b.png", "a.png"]


@pytest.mark.parametrize("events", [True, False])
def test_a_new_file_is_found_by_events_or_else_by_looking_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, events: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no events here")

    if not events:
        monkeypatch.setattr(module, "awatch", refuse)

    async def scenario() -> str:
        async with (
            asyncio.timeout(20),
            aclosing(watched(tmp_path, [], 60 if events else 0.05).looks()) as looks,
        ):
            assert await anext(looks) == []
            asyncio.get_running_loop().call_later(0.3, (tmp_path / "a.png").write_bytes, b"1")
            async for complete in looks:
                if complete:
                    return complete[0].path.name
        return ""

    assert asyncio.run(scenario()) == "a.png"


def test_a_subfolder_that_can_not_be_read_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.png").write_bytes(b"1")
    scan = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "locked":  # root may read everything, so it is played
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    notices: list[str] = []
    assert asyncio.run(names(watched(tmp_path, notices), 3))[2] == ["a.png"]
    assert notices == [f"{tmp_path / 'locked'} can't be read (Permission denied)"]


def test_a_folder_that_vanishes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        asyncio.run(names(watched(tmp_path / "absent"), 1))
