"""Clouds that a device should not trust, and servers before a cloud that die: cases of ``make faults``."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from splitwire.shared.answer import CONTENT_TYPE, compact, pack
from splitwire.shared.messages import Likely, Timings
from tests.load.machine import most_resident_mib
from tests.load.report import Row
from tests.processes import cloud_process
from tests.raw_server import raw_server, reply
from tests.watched import put_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BLOCK = 64 << 20
_BOMB_BYTES = 3_800_000_000
_DEADLINE_SECONDS = 3.0
_MOST_MORE_MB = 50
"""How much more memory than a good answer takes a bad one may take."""
_PICTURES = 12


@dataclass(frozen=True, kw_only=True)
class _Ran:
    code: int
    lines: list[str]
    seconds: float
    megabytes: float
    """The most that it had at a time."""


def _edge_client(*arguments: str) -> _Ran:
    started = time.monotonic()
    command = [sys.executable, "-m", "splitwire.edge.commands.cli", *arguments]
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        most = 0.0
        while process.poll() is None:
            with suppress(OSError, StopIteration):  # it is ending just now
                most = max(most, most_resident_mib(process.pid))
            time.sleep(0.01)
        output.seek(0)
        return _Ran(
            code=process.returncode,
            lines=output.read().splitlines(),
            seconds=time.monotonic() - started,
            megabytes=most,
        )


def _bomb() -> bytes:
    """Make gzip of gzip of zeros, without writing them all: whole blocks can be repeated."""
    inner = zlib.compressobj(1, wbits=-15)
    block = inner.compress(bytes(_BLOCK)) + inner.flush(zlib.Z_FULL_FLUSH)
    gzipped = b"\x1f\x8b\x08" + bytes(7) + block * (_BOMB_BYTES // _BLOCK)
    outer = zlib.compressobj(9, wbits=31)
    return outer.compress(gzipped) + outer.flush()


def _endless() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: " + CONTENT_TYPE.encode() + b"\r\n\r\n"
    chunk = bytes(1 << 20)
    for _ in range(4096):
        yield chunk


def _drip() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(200):
        time.sleep(0.1)
        yield b"x%d: y\r\n" % number


def answers_without_end() -> list[Row]:
    """Answer ``edge-client classify`` and ``pull`` with a gzip bomb, a body without end, a head that drips."""
    bomb = _bomb()
    good = pack(compact([[Likely(3, 0.9)]], Timings(decode=1, queue=1, tail=1)))
    kinds: dict[str, Callable[[], Iterable[bytes]]] = {
        f"{len(bomb):,} bytes that gzip to {_BOMB_BYTES / 1e9:.1f} GB": lambda: reply(
            bomb, f"Content-Type: {CONTENT_TYPE}", "Content-Encoding: gzip, gzip"
        ),
        "a body without end": _endless,
        "headers that drip": _drip,
    }
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        put_picture(picture, 0)
        classify = [
            "classify",
            str(picture),
            "--no-fallback",
            "--deadline-ms",
            f"{1e3 * _DEADLINE_SECONDS:.0f}",
        ]
        with raw_server(lambda *_: reply(good, f"Content-Type: {CONTENT_TYPE}")) as server:
            usual = _edge_client(*classify, "--cloud", server.url)
        for kind, answer in kinds.items():
            with raw_server(lambda *_, answer=answer: answer()) as server:
                ran = _edge_client(*classify, "--cloud", server.url)
            more = ran.megabytes - usual.megabytes
            longer = ran.seconds - usual.seconds
            rows.append(
                Row(
                    name=f"edge-client classify, answered {kind}",
                    value=f"exit code {ran.code}, {longer:+.1f} s and {more:+.0f} MB beside a good answer",
                    wanted=f"5 or 6, {_DEADLINE_SECONDS:.0f} s, {_MOST_MORE_MB} MB",
                    reached=usual.code == 0
                    and ran.code in {5, 6}
                    and longer < _DEADLINE_SECONDS + 1
                    and more < _MOST_MORE_MB,
                )
            )
        del kinds["headers that drip"]  # they get a pull's 30 seconds
        for kind, answer in kinds.items():
            place = Path(folder) / "pulled" / "current"
            with raw_server(_one_file(answer)) as server:
                ran = _edge_client("pull", str(place), "--cloud", server.url)
            left = list(place.parent.iterdir())
            rows.append(
                Row(
                    name=f"edge-client pull, a file answered {kind}",
                    value=f"exit code {ran.code}, {ran.megabytes:.0f} MB, {len(left)} files left",
                    wanted="6, no more than classify, none",
                    reached=ran.code == 6 and ran.megabytes < usual.megabytes and not left,
                )
            )
    return rows


def _one_file(data: Callable[[], Iterable[bytes]]) -> Callable[[str, bytes], Iterable[bytes]]:
    listed = _listed({"path": "manifest.json", "bytes": 4096, "sha256": _NOTHING})
    return lambda head, _: reply(listed) if head.startswith("GET /bundles ") else data()


_NOTHING = hashlib.sha256(b"").hexdigest()


def _listed(*files: dict[str, object]) -> bytes:
    return json.dumps({"bundles": [{"id": "b", "files": files}]}).encode()


def lists_that_no_cloud_has() -> Row:
    """List to ``edge-client pull`` what it must not fetch: each is one line and exit code 6, and nothing is left."""
    paths = ("../x", "a\nb", "\x1b[2J", "a/" * 20 + "b", "manifest.json/x", "A")
    lists = [
        _listed(*({"path": path, "bytes": 0, "sha256": _NOTHING} for path in ("a", "manifest.json", each)))
        for each in paths
    ]
    lists += [
        _listed(*({"path": f"f{number}", "bytes": 0, "sha256": _NOTHING} for number in range(20_000))),
        _listed({"path": "a", "bytes": 1 << 40, "sha256": _NOTHING}),
        b"[" * 1_000_000,
        b"{}",
    ]
    ends: list[bool] = []
    with tempfile.TemporaryDirectory() as folder:
        for bundles in lists:
            place = Path(folder) / "current"
            with raw_server(lambda *_, bundles=bundles: reply(bundles)) as server:
                ran = _edge_client("pull", str(place), "--cloud", server.url)
            ends.append(ran.code == 6 and len(ran.lines) == 1 and len(server.requests) == 1)
        left = list(Path(folder).iterdir())
    return Row(
        name=f"edge-client pull, {len(lists)} lists that no cloud has",
        value=f"{sum(ends)} refused in one line before a file was asked for, {len(left)} files left",
        wanted="all, none",
        reached=all(ends) and not left,
    )


def a_proxy_that_dies() -> Row:
    """Put a server before a cloud that fails two requests of three, each in another way."""
    failures = itertools.cycle(
        [
            reply(b"Internal Server Error", "Content-Type: text/plain", status="500 Internal Server Error"),
            reply(b"<html>", "Content-Type: text/html", status="502 Bad Gateway"),
            [b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n\xa1\x01"],
            [],
            reply(b""),
        ]
    )
    numbers = itertools.count(1)
    with cloud_process() as cloud, tempfile.TemporaryDirectory() as folder:

        def answer(_: str, body: bytes) -> Iterable[bytes]:
            if next(numbers) % 3:
                return next(failures)
            passed = httpx.post(
                f"{cloud.url}/infer",
                content=body,
                headers={"Accept": CONTENT_TYPE, "Content-Type": "application/octet-stream"},
            )
            return reply(passed.content, f"Content-Type: {passed.headers['Content-Type']}")

        for number in range(_PICTURES):
            put_picture(Path(folder) / f"{number}.png", number)
        with raw_server(answer) as proxy:
            ran = _edge_client(
                "classify", folder, "--no-fallback", "--json", "--deadline-ms", "60000", "--cloud", proxy.url
            )
    answered = sum(
        line.startswith("{")
        and json.loads(line)["source"] == "cloud"
        and json.loads(line)["label"] is not None
        for line in ran.lines
    )
    return Row(
        name=f"edge-client classify, {_PICTURES} pictures through a server that fails two requests of three",
        value=f"{answered} answers in {len(proxy.requests)} requests, exit code {ran.code}",
        wanted=f"{_PICTURES}, 0",
        reached=answered == _PICTURES and ran.code == 0,
    )
