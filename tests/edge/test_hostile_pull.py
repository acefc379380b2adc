"""What a cloud lists and sends may be anything: it is bounded before it is fetched, and leaves nothing behind."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from splitwire.edge.commands.pull import pull
from splitwire.edge.errors import BundleUnwritable, CloudAnswerInvalid, CloudLate, CloudRefused
from splitwire.shared.bundle import MAX_BUNDLE_BYTES, MAX_FILE_BYTES, load_manifest
from splitwire.shared.errors import BundleFileMismatch, BundleInvalid, SettingsError, codes_of
from tests.edge.command import edge_client
from tests.raw_server import raw_server, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from splitwire.shared.errors import SplitwireError

NOTHING = hashlib.sha256(b"").hexdigest()


def quietly(*_: int) -> None:
    pass


def listed(*files: dict[str, Any], bundle: object = "b") -> bytes:
    return json.dumps({"bundles": [{"id": bundle, "files": files}]}).encode()


def file(path: str, size: object = 0, sha256: object = NOTHING) -> dict[str, Any]:
    return {"path": path, "bytes": size, "sha256": sha256}


def gives(
    bundles: bytes, data: Callable[[], Iterable[bytes]] | None = None
) -> Callable[[str, bytes], Iterable[bytes]]:
    def answer(head: str, _: bytes) -> Iterable[bytes]:
        if head.startswith("GET /bundles "):
            return reply(bundles, "Content-Type: application/json")
        assert data is not None, "nothing may be fetched"
        return data()

    return answer


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "a\\b",
        "c:x",
        "a b",
        "\u202egpj",
        ".hidden",
        "a/b/c/d/e/f",
        "x" * 65,
        "manifest.json/x" * 100,
    ],
    ids=ascii,
)
def test_a_listed_path_that_no_bundle_has_is_refused_before_anything_is_fetched(
    path: str, tmp_path: Path
) -> None:
    bundles = listed(file("manifest.json"), file(path))
    with (
        raw_server(gives(bundles)) as server,
        pytest.raises(CloudAnswerInvalid, match="/bundles is not usable"),
    ):
        pull(server.url, None, None, tmp_path / "current", quietly)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "bundles",
    [
        listed(file("a"), file("a")),
        listed(file("a"), file("A")),
        listed(file("manifest.json"), file("manifest.json/x")),
        listed(file("a/b/c"), file("A/B")),
        listed(*[file(f"f{number}") for number in range(20_000)]),
        listed(*[file(f"f{number}") for number in range(300)]),
        listed(file("a", -1)),
        listed(file("a", 1.5)),
        listed(file("a", "many")),
        listed(file("a", 10**400)),
        listed(file("a", MAX_FILE_BYTES + 1)),
        listed(
            *[file(f"f{number}", MAX_FILE_BYTES) for number in range(MAX_BUNDLE_BYTES // MAX_FILE_BYTES + 1)]
        ),
        listed(file("a", 0, "g" * 64)),
        listed(file("a", 0, "0")),
        listed(file("a"), bundle="../b"),
        listed(file("a"), bundle="\x1b[2J"),
        json.dumps({"bundles": [{"id": f"b{number}", "files": []} for number in range(1000)]}).encode(),
        b"[" * 100_000,
        b'{"bundles": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"{}",
        b"",
        b" " * (5 << 20),
    ],
    ids=range(22),
)
def test_a_list_that_no_cloud_has_is_refused_before_anything_is_fetched(
    bundles: bytes, tmp_path: Path
) -> None:
    with raw_server(gives(bundles)) as server, pytest.raises(CloudAnswerInvalid) as caught:
        pull(server.url, None, None, tmp_path / "current", quietly)
    assert len(str(caught.value)) < 600
    assert not list(tmp_path.iterdir())


def test_bundles_without_end_are_named_in_one_line(tmp_path: Path) -> None:
    many = json.dumps({"bundles": [{"id": f"{number:064}", "files": []} for number in range(64)]}).encode()
    with (
        raw_server(gives(many)) as server,
        pytest.raises(SettingsError, match="name one with --id") as caught,
    ):
        pull(server.url, None, None, tmp_path / "current", quietly)
    assert len(str(caught.value)) < 600


BOMB = reply(gzip.compress(gzip.compress(bytes(64 << 20))), "Content-Encoding: gzip, gzip")


def endless() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    for _ in range(1024):
        yield bytes(1 << 16)


def drip() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    for _ in range(100):
        time.sleep(0.05)
        yield b"x"


def drip_head() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(100):
        time.sleep(0.05)
        yield b"x%d: y\r\n" % number


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (lambda: BOMB, CloudAnswerInvalid),
        (endless, CloudAnswerInvalid),
        (drip, CloudLate),
        (drip_head, CloudLate),
        (lambda: reply(bytes(1001)), CloudAnswerInvalid),
        (lambda: reply(bytes(999)), BundleFileMismatch),
        (lambda: reply(b"x" * 1000), BundleFileMismatch),
        (lambda: reply(b"{", status="302 Found"), CloudAnswerInvalid),
        (lambda: reply(b'{"error": "FileUnknown", "message": "m"}', status="404 Not Found"), CloudRefused),
    ],
    ids=["bomb", "endless", "drip", "drip_head", "longer", "shorter", "other", "redirect", "absent"],
)
def test_a_file_that_is_not_what_was_announced_is_refused_in_time_and_nothing_stays(
    data: Callable[[], Iterable[bytes]], error: type[SplitwireError], tmp_path: Path
) -> None:
    bundles = listed(file("a/b", 1000, hashlib.sha256(bytes(1000)).hexdigest()))
    started = time.monotonic()
    with raw_server(gives(bundles, data)) as server, pytest.raises(error):
        pull(server.url, None, None, tmp_path / "current", quietly, seconds=0.5)
    assert time.monotonic() - started < 3
    assert not list(tmp_path.iterdir())


def test_a_file_may_take_longer_while_it_comes(tmp_path: Path) -> None:
    whole = bytes(10 * 8192)

    def steadily() -> Iterator[bytes]:
        yield f"HTTP/1.1 200 OK\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
        for _ in range(10):
            time.sleep(0.1)
            yield bytes(8192)

    bundles = listed(file("manifest.json", len(whole), hashlib.sha256(whole).hexdigest()))
    with raw_server(gives(bundles, steadily)) as server, pytest.raises(BundleInvalid):
        pull(server.url, None, None, tmp_path / "current", quietly, seconds=0.5)


def test_a_list_that_drips_ends_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    with raw_server(lambda *_: drip()) as server, pytest.raises(CloudLate):
        pull(server.url, None, None, tmp_path / "current", quietly, seconds=0.3)
    assert time.monotonic() - started < 2


def test_what_does_not_fit_on_the_disk_is_said_before_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99))
    with (
        raw_server(gives(listed(file("a", 100)))) as server,
        pytest.raises(BundleUnwritable, match="make room"),
    ):
        pull(server.url, None, None, tmp_path / "current", quietly)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_disk_that_fills_up_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def on_a_full_disk(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - Path.open's
        return opened(Path("/dev/full") if path.name == "a" else path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", on_a_full_disk)
    with (
        raw_server(gives(listed(file("a", 1000)), lambda: reply(bytes(1000)))) as server,
        pytest.raises(BundleUnwritable, match=os.strerror(errno.ENOSPC)) as raised,
    ):
        edge_client("pull", tmp_path / "current", "--cloud", server.url)
    assert codes_of(raised.value).exit == 4
    assert not list(tmp_path.iterdir())


def test_a_place_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "current", tmp_path / ("x" * 255)):
        with (
            raw_server(gives(listed(file("a")))) as server,
            pytest.raises(BundleUnwritable, match="can't be written"),
        ):
            pull(server.url, None, None, place, quietly)


KILLED = """
import os, sys
from pathlib import Path
from splitwire.edge.commands.pull import pull
from tests.edge.command import edge_client

def stop(done, total):
    print("half", flush=True)
    sys.stdin.read()

pull(sys.argv[1], None, None, Path(sys.argv[2]), stop)
"""


def half_way(url: str, place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", KILLED, url, str(place)]
    pulling = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert pulling.stdout is not None
    assert pulling.stdout.readline() == "half\n"
    return pulling


def test_the_next_pull_removes_what_a_killed_one_left_and_leaves_a_living_one_alone(
    cloud_url: str, tmp_path: Path, bundle_path: Path
) -> None:
    place, others = (
        tmp_path / "current",
        {".current-20261127", ".current-mine.pull", ".current-b-abcdefgh.pull"},
    )
    for name in others:
        (tmp_path / name).mkdir()
    with half_way(cloud_url, place) as killed, half_way(cloud_url, place) as living:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(list(tmp_path.iterdir())) == 2 + len(others)
        pull(cloud_url, None, None, place, quietly)
        left = {each.name for each in tmp_path.iterdir()} - others
        assert len(left) == 3, "the link, its bundle, and the living pull's folder"
        living.communicate("")
        assert living.returncode == 0
    assert load_manifest(place) == load_manifest(bundle_path)
    pull(cloud_url, None, None, place, quietly)
    left = {each.name for each in tmp_path.iterdir()} - others
    assert left == {"current", place.readlink().name}


def test_a_link_that_an_older_release_made_is_replaced_and_its_folder_removed(
    cloud_url: str, tmp_path: Path
) -> None:
    place, old = tmp_path / "current", tmp_path / ".current-abcd1234"
    old.mkdir()
    place.symlink_to(old.name)
    pull(cloud_url, None, None, place, quietly)
    assert {each.name for each in tmp_path.iterdir()} == {"current", place.readlink().name}
    assert not old.exists()


def test_a_damaged_file_of_the_bundle_in_use_is_fetched_again(cloud_url: str, tmp_path: Path) -> None:
    place = tmp_path / "current"
    pull(cloud_url, None, None, place, quietly)
    manifest = place / "manifest.json"
    manifest.unlink()
    manifest.symlink_to("/dev/zero")
    pull(cloud_url, None, None, place, quietly)
    load_manifest(place)
