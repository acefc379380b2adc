"""Every picture of a watched folder ends with exactly one answer in the outbox."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import (
    CloudAnswerInvalid,
    CloudError,
    CloudLate,
    CloudRefused,
    CloudUnreachable,
    FallbackMissing,
    OutboxError,
    OutboxHeld,
)
from splitwire.edge.results import Answered, Encoded, Failed, Result
from splitwire.edge.settings import DeviceSettings, WatchSettings
from splitwire.edge.watch import intake
from splitwire.edge.watch import run as module
from splitwire.edge.watch.answers import Pace
from splitwire.edge.watch.outbox import Outbox
from splitwire.edge.watch.run import watch
from splitwire.shared.bundle import Manifest, load_manifest
from splitwire.shared.errors import PictureCostly, PictureMissing, SettingsError
from splitwire.shared.pictures.loading import load_picture, read_file
from tests.edge.command import edge_client
from tests.manifests import rewrite_manifest
from tests.watched import FullDisk, put_picture, rows, states

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

URL = "http://cloud"
DEAD = "http://127.0.0.1:9"
QUICK = Pace(outage_first=0.01, outage_longest=0.02, bundle=0.1, lock=0.05)
SETTINGS = WatchSettings(cloud=URL, settle=0.01, patience=0.05, poll=0.05, once=True)


@dataclass(kw_only=True)
class Device:
    """Stands for a device's half and its cloud.

    ``error``: what the cloud does with the pictures of a burst. ``loading``: is told what is decoded.
    """

    manifest: Manifest
    settings: DeviceSettings = field(default=SETTINGS)
    quality: str = "int8"
    source: str = "cloud"
    fallback: None = None
    error: Callable[[list[str]], CloudError | None] = lambda _: None
    loading: Callable[[str], None] = lambda _: None
    encoded: list[str] = field(default_factory=list)
    bursts: list[list[str]] = field(default_factory=list)

    @property
    def sender(self) -> Device:
        return self

    @property
    def coder(self) -> Device:
        return self

    def deadline(self) -> Deadline:
        return Deadline.after(10)

    def load(self, data: bytes, name: str, deadline: Deadline) -> tuple[bytes, str]:
        assert deadline.left() > 0
        self.loading(name)
        load_picture(data, name)
        return data, name

    async def encode(self, loaded: tuple[bytes, str]) -> Encoded:
        data, name = loaded
        self.encoded.append(Path(name).name)
        return Encoded(quality="int8", payload=data[-50:], own=None, timings_ms={"load": 1.0})

    async def send(
        self, pictures: list[tuple[str, Encoded]], deadline: Deadline
    ) -> list[Answered | BaseException]:
        assert deadline.left() > 0
        assert all(encoded.payload for _, encoded in pictures)
        self.bursts.append([Path(path).name for path, _ in pictures])
        await asyncio.sleep(0)
        return [self.error(self.bursts[-1]) or self.answer(path) for path, _ in pictures]

    def answer(self, path: str) -> Answered:
        return Answered(path=path, label="cat", class_id=3, probability=0.9, source="cloud", body_bytes=9.0)


class Killed(BaseException):
    """The process ends here."""


@dataclass(kw_only=True)
class Run:
    """What one run of ``watch`` gave."""

    said: list[Result]
    notices: list[str]

    @property
    def exit_code(self) -> int:
        return next((result.exit_code for result in self.said if isinstance(result, Failed)), 0)

    @property
    def names(self) -> list[str]:
        return [Path(result.path).name for result in self.said]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def device(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device(manifest=load_manifest(bundle_path))

    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[Device]:
        yield made

    monkeypatch.setattr(module, "open_pipeline", opened)
    return made


async def watching(folder: Path, said: list[Result], notices: list[str], **settings: Any) -> None:  # noqa: ANN401 - WatchSettings checks them
    told = WatchSettings.model_validate({**dict(SETTINGS), **settings})
    await asyncio.wait_for(watch(folder, told, said.append, notices.append, QUICK), 20)


def run(folder: Path, **settings: Any) -> Run:  # noqa: ANN401 - WatchSettings checks them
    said: list[Result] = []
    notices: list[str] = []
    asyncio.run(watching(folder, said, notices, **settings))
    return Run(said=said, notices=notices)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.01)


def refusal(status: int) -> CloudRefused:
    return CloudRefused(URL, status, "no")


def test_every_picture_of_a_folder_and_its_subfolders_gets_an_answer(folder: Path, device: Device) -> None:
    names = [
        put_picture(folder / name, seed).name for seed, name in enumerate(["a.png", "b", "sub/deep/c.png"])
    ]
    done = run(folder)
    assert done.exit_code == 0
    assert sorted(done.names) == names
    assert {row["state"] for row in rows(folder)} == {"answered"}
    assert {row["label"] for row in rows(folder)} == {"cat"}
    assert device.encoded
    assert run(folder).said == []


def test_hidden_and_unfinished_files_and_the_record_itself_are_left_alone(
    folder: Path, device: Device
) -> None:
    for seed, name in enumerate([".a.png", ".hidden/b.png", "c.png.part", "d.TMP", "e.png~", "f.png"]):
        put_picture(folder / name, seed)
    done = run(folder, outbox=folder / "record.sqlite")
    assert (done.exit_code, done.names) == (0, ["f.png"])
    assert device.encoded == ["f.png"]


def test_the_same_content_twice_is_one_row_and_one_request(folder: Path, device: Device) -> None:
    for name in ("a.png", "b.png", "sub/a.png"):
        put_picture(folder / name, 1)
    assert len(run(folder).said) == 1
    shutil.copy(folder / "a.png", folder / "c.png")
    assert run(folder).said == []
    assert len(rows(folder)) == sum(map(len, device.bursts)) == len(device.encoded) == 1
    assert len(rows(folder, "SELECT * FROM files")) == 4


def test_what_is_known_is_not_even_read_again(
    folder: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_picture(folder / "a.png", 1)
    run(folder)
    monkeypatch.setattr(intake, "read_file", lambda _: pytest.fail("it was read"))
    assert run(folder).exit_code == 0
    assert len(device.encoded) == 1


@pytest.mark.usefixtures("device")
def test_pictures_are_taken_in_as_they_appear_and_when_they_are_complete(folder: Path) -> None:
    whole = put_picture(folder / "a.png", 1).read_bytes()

    async def scenario() -> list[str]:
        said: list[Result] = []
        task = asyncio.create_task(watching(folder, said, [], once=False, patience=60, poll=60))
        await until(lambda: bool(said))
        slow = folder / "slow.png"
        for end in (len(whole) // 3, len(whole) // 2):
            slow.write_bytes(whole[:end])
            await asyncio.sleep(0.1)
        await asyncio.to_thread(put_picture, folder / "b.png", 2)
        await until(lambda: len(said) == 2)
        await asyncio.to_thread(put_picture, slow, 3)
        await until(lambda: len(said) == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [Path(result.path).name for result in said if isinstance(result, Answered)]

    assert asyncio.run(scenario()) == ["a.png", "b.png", "slow.png"]
    assert states(folder) == {"a.png": "answered", "b.png": "answered", "slow.png": "answered"}


def test_what_is_no_picture_is_said_once_and_tried_again_when_it_changes(
    folder: Path, device: Device
) -> None:
    folder.mkdir()
    cut = folder / "cut.png"
    whole = put_picture(folder / "whole.png", 1).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    done = run(folder)
    assert done.exit_code == 3
    assert sorted(done.names) == ["cut.png", "whole.png"]
    assert states(folder) == {"cut.png": "failed", "whole.png": "answered"}
    assert [run(folder).said, run(folder).exit_code] == [[], 0]
    put_picture(cut, 2)
    assert run(folder).names == ["cut.png"]
    assert Counter(row["state"] for row in rows(folder)) == {"answered": 2, "failed": 1}
    assert device.encoded == ["whole.png", "cut.png"]


@pytest.mark.usefixtures("device")
def test_a_file_that_may_not_be_read_is_taken_in_when_it_may(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = put_picture(folder / "locked.png", 1)

    def read(path: Path) -> bytes:
        if not path.stat().st_mode & 0o400:  # root may read everything, so it is played
            raise PictureMissing(path, "no permission to read it")
        return read_file(path)

    monkeypatch.setattr(intake, "read_file", read)
    locked.chmod(0)
    done = run(folder)
    assert (done.exit_code, done.names, rows(folder)) == (3, ["locked.png"], [])
    locked.chmod(0o600)
    assert run(folder).names == ["locked.png"]
    assert states(folder) == {"locked.png": "answered"}


@pytest.mark.parametrize(
    "error",
    [CloudUnreachable(URL, "refused"), CloudLate(URL, "late"), CloudAnswerInvalid(URL, "a portal")],
)
def test_it_waits_through_an_outage_and_tells_of_its_beginning_and_end_once(
    folder: Path, device: Device, error: CloudError
) -> None:
    for seed in range(5):
        put_picture(folder / f"{seed}.png", seed)
    device.error = lambda _: error if 2 <= len(device.bursts) < 9 else None
    done = run(folder)
    assert (done.exit_code, len(done.said)) == (0, 5)
    assert done.notices == [f"{error}; pictures wait until it answers", "the cloud answers again"]
    assert set(states(folder).values()) == {"answered"}
    assert sum(row["attempts"] for row in rows(folder)) == sum(map(len, device.bursts))


def test_a_picture_whose_file_is_gone_while_it_waits_is_answered_too(folder: Path, device: Device) -> None:
    picture = put_picture(folder / "a.png", 1)

    def fail_and_remove(_: list[str]) -> CloudError | None:
        gone = not picture.exists()
        picture.unlink(missing_ok=True)
        return None if gone else CloudUnreachable(URL, "refused")

    device.error = fail_and_remove
    assert run(folder).exit_code == 0
    assert states(folder) == {"a.png": "answered"}


def test_bursts_grow_while_the_cloud_answers_and_shrink_when_the_link_is_too_slow(
    folder: Path, device: Device
) -> None:
    for seed in range(24):
        put_picture(folder / f"{seed:02}.png", seed)

    def slow(burst: list[str]) -> CloudError | None:
        if len(device.encoded) < 24:
            return CloudUnreachable(URL, "refused")
        return CloudLate(URL, "late") if len(burst) > 4 else None

    device.error = slow
    assert run(folder).exit_code == 0
    sizes = [len(burst) for burst in device.bursts]
    assert sizes[sizes.index(2) :][:5] == [2, 4, 8, 1, 2]
    assert set(states(folder).values()) == {"answered"}


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_wrong_key_or_url_stops_it_and_loses_nothing(folder: Path, device: Device, status: int) -> None:
    put_picture(folder / "a.png", 1)
    device.error = lambda _: refusal(status)
    for _ in range(2):
        with pytest.raises(CloudRefused, match=f"HTTP {status}"):
            run(folder)
        assert states(folder) == {"a.png": "waiting"}
    device.error = lambda _: None
    assert run(folder).names == ["a.png"]
    assert device.encoded == ["a.png"]


def test_pictures_for_another_bundle_are_set_aside_said_once_and_tried_again_at_a_start(
    folder: Path, device: Device
) -> None:
    for seed in range(3):
        put_picture(folder / f"{seed}.png", seed)
    device.error = lambda _: refusal(409)
    done = run(folder)
    assert (done.exit_code, sorted(done.names)) == (6, ["0.png", "1.png", "2.png"])
    assert all(
        isinstance(result, Failed)
        and result.message.startswith("set aside: cloud http://cloud: no (HTTP 409)")
        for result in done.said
    )
    assert set(states(folder).values()) == {"set aside"}
    device.error = lambda _: None
    assert sorted(run(folder).names) == ["0.png", "1.png", "2.png"]
    assert set(states(folder).values()) == {"answered"}
    assert len(device.encoded) == 3


def test_pictures_that_were_set_aside_are_tried_again_when_the_cloud_has_the_bundle(
    folder: Path, device: Device
) -> None:
    for seed in range(3):
        put_picture(folder / f"{seed}.png", seed)
    device.error = lambda _: refusal(409) if len(device.bursts) < 3 else None
    done = run(folder)
    assert done.exit_code == 6
    assert len(done.said) == 5
    assert set(states(folder).values()) == {"answered"}


def test_a_code_for_another_bundle_is_made_again_from_the_file_and_kept_where_that_is_gone(
    folder: Path, device: Device, bundle_copy: Path
) -> None:
    for seed, name in enumerate(["here.png", "gone.png"]):
        put_picture(folder / name, seed)
    device.error = lambda _: refusal(409)
    run(folder)
    (folder / "gone.png").unlink()
    shipped, device.manifest = device.manifest, load_manifest(other_bundle(bundle_copy))
    device.settings = DeviceSettings(cloud=URL, bundle=bundle_copy)
    device.error = lambda _: None
    done = run(folder)
    assert (done.exit_code, sorted(done.names)) == (3, ["gone.png", "here.png"])
    assert states(folder) == {"gone.png": "set aside", "here.png": "answered"}
    assert "its file is gone" in rows(folder)[0]["error"]
    assert device.encoded.count("here.png") == 2
    device.manifest, device.settings = shipped, SETTINGS
    assert run(folder).names == ["gone.png"]
    assert set(states(folder).values()) == {"answered"}


def test_what_ended_it_twice_when_it_was_encoded_again_is_tried_again_when_it_is_touched(
    folder: Path, device: Device, bundle_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = put_picture(folder / "bad.png", 0)
    device.error = lambda _: refusal(409)
    run(folder)
    device.manifest = load_manifest(other_bundle(bundle_copy))
    device.settings = DeviceSettings(cloud=URL, bundle=bundle_copy)
    device.error = lambda _: None

    def killing(_: str) -> None:
        raise Killed

    device.loading = killing
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "end", lambda *_: None)  # a process that is gone writes nothing
        for _ in range(2):
            with pytest.raises(Killed):
                run(folder)
    done = run(folder)
    assert (done.exit_code, done.names, states(folder)) == (3, ["bad.png"], {"bad.png": "set aside"})
    assert "touch it to have it tried again" in rows(folder)[0]["error"]
    assert [run(folder).said, run(folder).exit_code] == [[], 0]
    device.loading = lambda _: None
    bad.touch()
    assert run(folder).names == ["bad.png"]
    assert states(folder) == {"bad.png": "answered"}


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (413, 1), (500, 5)])
def test_a_picture_that_the_cloud_refuses_alone_is_set_aside_and_the_others_are_answered(
    folder: Path, device: Device, status: int, attempts: int
) -> None:
    for seed in range(9):
        put_picture(folder / f"{seed}.png", seed)
    device.error = lambda burst: refusal(status) if "4.png" in burst else None
    done = run(folder)
    assert (done.exit_code, len(done.said)) == (6, 9)
    assert Counter(states(folder).values()) == {"answered": 8, "set aside": 1}
    assert rows(folder)[4]["state"] == "set aside"
    assert rows(folder)[4]["attempts"] >= attempts


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises((SettingsError, OutboxError)):
        run(tmp_path / "absent")
    with pytest.raises(SettingsError, match="can't be read"):
        run(tmp_path / "absent", outbox=tmp_path / "record.sqlite")


@pytest.mark.usefixtures("device")
def test_two_watchers_of_one_folder_are_refused(folder: Path) -> None:
    put_picture(folder / "a.png", 1)

    async def both() -> None:
        await asyncio.gather(
            *(watching(folder, [], [], once=once) for once in (False, True)),
        )

    with pytest.raises(OutboxHeld):
        asyncio.run(both())


def test_what_ended_it_twice_is_set_aside_and_said_and_the_rest_goes_on(
    folder: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = put_picture(folder / "0 bad.png", 0)
    os.utime(bad, (1, 1))  # the first to be tried
    put_picture(folder / "good.png", 1)

    def killing(name: str) -> None:
        if name == str(bad):
            raise Killed

    device.loading = killing
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "end", lambda *_: None)  # a process that is gone writes nothing
        for _ in range(2):
            with pytest.raises(Killed):
                run(folder)
    done = run(folder)
    assert (done.exit_code, sorted(done.names)) == (3, ["0 bad.png", "good.png"])
    assert states(folder) == {"0 bad.png": "set aside", "good.png": "answered"}
    assert "it ended this program 2 times, and is set aside; touch it" in rows(folder)[0]["error"]
    assert [run(folder).said, run(folder).exit_code] == [[], 0]
    device.loading = lambda _: None
    bad.touch()
    assert run(folder).names == ["0 bad.png"]
    assert states(folder) == {"0 bad.png": "answered", "good.png": "answered"}


def test_a_picture_that_costs_too_much_is_set_aside_at_once(folder: Path, device: Device) -> None:
    bomb, good = put_picture(folder / "bomb.png", 0), put_picture(folder / "good.png", 1)
    tried: list[str] = []

    def loading(name: str) -> None:
        tried.append(name)
        if name == str(bomb):
            raise PictureCostly(name, "decoding it takes over 10 s; make it smaller first")

    device.loading = loading
    done = run(folder, patience=60)
    assert (done.exit_code, sorted(done.names)) == (3, ["bomb.png", "good.png"])
    assert states(folder) == {"bomb.png": "set aside", "good.png": "answered"}
    assert sorted(tried) == [str(bomb), str(good)]


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    "gone", [".splitwire.sqlite", ".splitwire.sqlite-shm", ".splitwire.sqlite-lock", "."]
)
def test_a_record_that_is_deleted_ends_it_within_a_second(folder: Path, gone: str) -> None:
    put_picture(folder / "a.png", 1)

    async def scenario() -> float:
        said: list[Result] = []
        task = asyncio.create_task(watching(folder, said, [], once=False, poll=60))
        await until(lambda: bool(said))
        (folder / gone).rename(folder.parent / "kept")
        began = time.monotonic()
        with pytest.raises(OutboxError, match="was deleted or replaced while in use"):
            await task
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 5


@pytest.mark.usefixtures("device")
def test_a_full_disk_stops_it_and_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(60):
        put_picture(folder / f"{seed:02}.png", seed)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", FullDisk)
        with pytest.raises(OutboxError, match="the disk is full"):
            run(folder)
    answered = Counter(states(folder).values())["answered"]
    assert 0 < answered < 60
    assert len(run(folder).said) >= 60 - answered
    assert Counter(states(folder).values()) == {"answered": 60}


class Steps:
    """Counts every step that leaves a trace outside the process, and ends it before the one at ``fatal``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = Counter[str]()
        self.fatal = 0
        for name, method in vars(Outbox).items():
            if not name.startswith("_"):
                monkeypatch.setattr(Outbox, name, self.counted(name, method))

    def counted(self, name: str, do: Callable[..., object]) -> Callable[..., Any]:
        def step(*arguments: object, **named: object) -> object:
            self.taken[name] += 1
            if self.taken.total() == self.fatal:
                raise Killed
            return do(*arguments, **named)

        return step

    def life(self, folder: Path, said: list[Result]) -> bool:
        """Run until everything is answered, or until the fatal step: False."""
        quick = WatchSettings(cloud=URL, once=True, settle=0.01, patience=0)
        running = watch(folder, quick, self.counted("say", said.append), lambda _: None, QUICK)
        try:
            asyncio.run(asyncio.wait_for(running, 20))
        except Killed:
            return False
        return any(isinstance(result, Failed) for result in said)


def test_wherever_it_ends_a_restart_gives_every_picture_one_answer(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    outage = CloudUnreachable(URL, "refused")
    device.error = lambda _: outage if len(device.bursts) % 3 == 0 else None
    while True:
        steps.fatal += 1
        steps.taken.clear()
        folder, said = tmp_path / str(steps.fatal), list[Result]()
        for seed in range(2):
            put_picture(folder / f"{seed}.png", seed)
        (folder / "text").write_text("no picture")
        if steps.life(folder, said):
            break
        steps.life(folder, said)
        assert states(folder) == {"0.png": "answered", "1.png": "answered", "text": "failed"}
        assert {Path(result.path).name for result in said} == states(folder).keys()
    assert steps.fatal > 30
    assert {"add", "settle", "say", "said", "fail"} <= steps.taken.keys()


def other_bundle(copy: Path) -> Path:
    """Make of a copy a bundle that the shipped one's cloud does not know."""
    rewrite_manifest(copy, lambda values: values.update(classes=["aeroplane", *values["classes"][1:]]))
    return copy


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_bundle_that_was_replaced_is_taken_up_while_it_runs(
    folder: Path,
    cloud_url: str,
    bundle_path: Path,
    bundle_copy: Path,
    when: str,
) -> None:
    """Replaced before the cloud refuses the old one, or after."""
    folder.mkdir()
    record = folder / ".splitwire.sqlite"
    settings = WatchSettings(bundle=other_bundle(bundle_copy), cloud=cloud_url, settle=0.05, poll=0.1)

    async def scenario() -> tuple[list[Result], list[str]]:
        said: list[Result] = []
        notices: list[str] = []
        task = asyncio.create_task(watch(folder, settings, said.append, notices.append, QUICK))
        await until(record.exists)
        await asyncio.sleep(0.5)  # the old bundle is in use
        if when == "after":
            await asyncio.to_thread(put_picture, folder / "a.png", 1)
            await until(lambda: bool(said))
        shutil.copy(bundle_path / "manifest.json", bundle_copy / "manifest.json")
        if when == "before":
            await asyncio.to_thread(put_picture, folder / "a.png", 1)
        await until(lambda: bool(said and isinstance(said[-1], Answered)))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return said, notices

    said, notices = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert [isinstance(result, Answered) for result in said] == (
        [True] if when == "before" else [False, True]
    )
    assert len(notices) == 1
    assert "has changed; going on with the new one" in notices[0]
    assert states(folder) == {"a.png": "answered"}


def test_the_answer_of_the_fallback_is_final(
    folder: Path, bundle_with_fallback: Path, cloud_url: str
) -> None:
    put_picture(folder / "a.png", 1)

    def command(cloud: str, *more: object) -> tuple[int, str]:
        told = ["--once", "--settle", 0.05, "--deadline-ms", 800, "--bundle", bundle_with_fallback]
        done = edge_client("watch", folder, "--cloud", cloud, *told, *more)
        return done.exit_code, done.stdout

    code, output = command(DEAD, "--fallback")
    assert code == 0
    assert re.search(r"frog +99", output)
    assert command(cloud_url) == (0, "")
    (row,) = rows(folder)
    assert (row["state"], row["source"], row["label"]) == ("answered", "device", "frog")
    assert "is cloud-server running there" in row["reason"]


def test_a_fallback_needs_a_bundle_with_it(folder: Path, bundle_without_fallback: Path) -> None:
    put_picture(folder / "a.png", 1)
    without = ["--bundle", str(bundle_without_fallback)]
    arguments = ["watch", str(folder), "--cloud", DEAD, "--once", "--fallback", *without]
    with pytest.raises(FallbackMissing, match="leave out --fallback"):
        edge_client(*arguments)
