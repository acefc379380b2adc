"""What answers may be anybody: a device takes so many bytes and no more, in its time, and shows what it was told harmlessly."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import CloudAnswerInvalid, CloudError, CloudLate, CloudRefused, CloudUnreachable
from splitwire.edge.network.connection import Connection, connect
from splitwire.edge.settings import DeviceSettings
from splitwire.shared.answer import CONTENT_TYPE, MAX_ANSWER_BYTES, compact, pack
from splitwire.shared.errors import SettingsError, SplitwireError
from splitwire.shared.messages import Likely, Timings
from tests.edge.command import edge_client
from tests.raw_server import raw_server, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

CLASSES = ("bird", "cat", "deer")
COMPACT = f"Content-Type: {CONTENT_TYPE}"
TIMINGS = Timings(decode=1, queue=1, tail=1)
GOOD = reply(pack(compact([[Likely(1, 0.9)]], TIMINGS)), COMPACT)
BOMB = gzip.compress(gzip.compress(bytes(64 << 20)))
"""30 MB and more a kilobyte."""


def connected(url: str, key: str | None = None) -> Any:  # noqa: ANN401 - a context manager
    return connect(DeviceSettings(cloud=url, key=key), CLASSES)


async def ask_at(url: str, seconds: float = 2.0, pictures: int = 1, top: int = 1) -> list[str]:
    async with connected(url) as connection:
        exchange = await connection.infer(b"frame", pictures, top, Deadline.after(seconds))
    return [each.label for each in exchange.predictions]


def ask(url: str, seconds: float = 2.0, pictures: int = 1, top: int = 1) -> list[str]:
    return asyncio.run(ask_at(url, seconds, pictures, top))


def one_after_the_other(*answers: Iterable[bytes]) -> Callable[[str, bytes], Iterable[bytes]]:
    """Give each once, the last one for ever."""
    numbers = itertools.count()
    return lambda *_: answers[min(next(numbers), len(answers) - 1)]


@pytest.mark.parametrize(
    "encoding",
    ["gzip, gzip", "gzip", "identity", "br"],
)
def test_an_encoded_answer_is_refused_unread(encoding: str) -> None:
    with (
        raw_server(lambda *_: reply(BOMB, COMPACT, f"Content-Encoding: {encoding}")) as server,
        pytest.raises(CloudAnswerInvalid, match="is encoded, which was not asked for"),
    ):
        ask(server.url)
    assert len(server.requests) == 1


def test_no_encoding_is_asked_for() -> None:
    with raw_server(lambda *_: GOOD) as server:
        assert ask(server.url) == ["cat"]
    assert "accept-encoding" not in server.requests[0].lower()


def endless(*head: str) -> Iterator[bytes]:
    yield "\r\n".join(["HTTP/1.1 200 OK", *head, "", ""]).encode()
    chunk = bytes(1 << 16)
    for _ in range(4096):
        yield chunk


@pytest.mark.parametrize("head", [(), (COMPACT,), ("Content-Type: application/json",)], ids=str)
def test_an_endless_answer_is_left_at_the_longest_valid_one(head: tuple[str, ...]) -> None:
    with (
        raw_server(lambda *_: endless(*head)) as server,
        pytest.raises(CloudAnswerInvalid, match=f"over {MAX_ANSWER_BYTES:,} bytes"),
    ):
        ask(server.url)
    assert server.sent[0] < 16 << 20, "what the system's buffers took"


def test_headers_without_end_are_left_early() -> None:
    with (
        raw_server(
            lambda *_: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"x: y\r\n" * 9000, 999))
        ) as server,
        pytest.raises(CloudUnreachable),
    ):
        ask(server.url, 0.5)
    assert max(server.sent) < 16 << 20


def test_an_answer_announced_too_long_is_not_read() -> None:
    with (
        raw_server(lambda *_: endless(f"Content-Length: {1 << 40}")) as server,
        pytest.raises(CloudAnswerInvalid, match="bytes"),
    ):
        ask(server.url)


def test_an_answer_that_drips_ends_at_the_deadline() -> None:
    def drip(*_: object) -> Iterator[bytes]:
        yield f"HTTP/1.1 200 OK\r\n{COMPACT}\r\n\r\n".encode()
        for _number in range(100):
            time.sleep(0.05)
            yield b"x"

    with raw_server(drip) as server:
        started = time.monotonic()
        with pytest.raises(CloudLate):
            ask(server.url, 0.5)
    assert time.monotonic() - started < 2


def test_a_cookie_is_not_brought_back() -> None:
    with raw_server(
        one_after_the_other(reply(b"", "Set-Cookie: a=b", status="502 Bad Gateway"), GOOD)
    ) as server:
        assert ask(server.url) == ["cat"]
    assert not any("cookie" in request.lower() for request in server.requests)


CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n" + COMPACT.encode() + b"\r\n\r\n\xa1\x01"
CUT_BY_CLOSE = b"HTTP/1.1 200 OK\r\n" + COMPACT.encode() + b"\r\n\r\n\xa1\x01"
FOREIGN = [
    reply(b"Internal Server Error", "Content-Type: text/plain", status="500 Internal Server Error"),
    reply(b"<html>oh</html>", "Content-Type: text/html", status="502 Bad Gateway"),
    reply(b"<html>oh</html>", status="504 Gateway Timeout"),
    reply(b'{"status": 500, "error": "Internal Server Error", "message": "x"}', status="500 Server Error"),
    reply(bytes(MAX_ANSWER_BYTES + 1), status="500 Internal Server Error"),
    reply(BOMB, "Content-Encoding: gzip", status="520 Something"),
    reply(b"", COMPACT),
    [CUT],
    [CUT_BY_CLOSE],
    [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
    [b"HTTP/1.1 200 OK\r\n"],
    [],
]
IDS = [
    "500",
    "502",
    "504",
    "json500",
    "long500",
    "gzip520",
    "empty",
    "cut",
    "cut_by_close",
    "cut_chunk",
    "cut_head",
    "nothing",
]


@pytest.mark.parametrize("failing", FOREIGN, ids=IDS)
def test_what_something_before_the_cloud_says_or_cuts_is_tried_again(failing: list[bytes]) -> None:
    with raw_server(one_after_the_other(failing, failing, GOOD)) as server:
        assert ask(server.url, 5) == ["cat"]
    assert len(server.requests) == 3


@pytest.mark.parametrize("failing", FOREIGN, ids=IDS)
def test_where_it_goes_on_the_cloud_counts_as_not_reached(failing: list[bytes]) -> None:
    with raw_server(lambda *_: failing) as server, pytest.raises(CloudError) as caught:
        ask(server.url, 0.3)
    assert caught.value.may_pass
    assert not isinstance(caught.value, CloudAnswerInvalid | CloudRefused)


def test_a_clouds_own_failure_is_not_tried_again() -> None:
    body = b'{"error": "Failure", "message": "the cloud failed"}'
    with (
        raw_server(lambda *_: reply(body, status="500 Internal Server Error")) as server,
        pytest.raises(CloudRefused, match="the cloud failed"),
    ):
        ask(server.url)
    assert len(server.requests) == 1


def as_json(**changes: Any) -> bytes:  # noqa: ANN401 - JSON values
    guess = {"label": "cat", "class_id": 1, "probability": 0.5}
    other = {"label": "deer", "class_id": 2, "probability": 0.25}
    timings = {"decode": 1, "queue": 1, "tail": 1}
    values: dict[str, Any] = {
        "guess": guess,
        "top": [guess, other],
        "timings": timings,
        "count": 1,
        "bundle": "b",
        **changes,
    }
    return json.dumps(
        {
            "predictions": [{**values["guess"], "top": values["top"]}] * values["count"],
            "bundle": values["bundle"],
            "quality": "q",
            "device": "cpu",
            "timings_ms": values["timings"],
        }
    ).encode()


CAT: dict[str, Any] = {"label": "cat", "class_id": 1, "probability": 0.5}
DEER: dict[str, Any] = {"label": "deer", "class_id": 2, "probability": 0.25}


def test_a_right_json_answer_is_taken() -> None:
    with raw_server(lambda *_: reply(as_json(), "Content-Type: application/json")) as server:
        assert ask(server.url, top=2) == ["cat"]


MISFITS: list[dict[str, Any]] = [
    {"count": 2},
    {"count": 0},
    {"top": []},
    {"top": [CAT]},
    {"top": [CAT, DEER, {**DEER, "class_id": 0, "label": "bird"}]},
    {"top": [CAT, CAT]},
    {"top": [DEER, CAT]},
    {"top": [CAT, {**DEER, "probability": 0.75}]},
    {"top": [CAT, {**DEER, "class_id": 3}]},
    {"top": [CAT, {**DEER, "class_id": -1}]},
    {"top": [CAT, {**DEER, "label": "cat"}]},
    {"top": [CAT, {**DEER, "label": "\x1b[2Jdeer"}]},
    {"top": [CAT, {**DEER, "probability": float("nan")}]},
    {"top": [CAT, {**DEER, "probability": -0.1}]},
    {"top": [{**CAT, "probability": 1.5}, DEER], "guess": {**CAT, "probability": 1.5}},
    {"guess": DEER},
    {"guess": {**CAT, "label": "dog"}},
    {"guess": {**CAT, "probability": 0.75}},
    {"timings": {"decode": -1, "queue": 1, "tail": 1}},
    {"timings": {"decode": float("nan"), "queue": 1, "tail": 1}},
    {"timings": {"decode": 1, "queue": float("inf"), "tail": 1}},
    {"bundle": "\x1b[2J"},
]


@pytest.mark.parametrize("changes", MISFITS, ids=str)
def test_a_json_answer_that_does_not_fit_is_refused_as_a_compact_one_is(changes: dict[str, Any]) -> None:
    with (
        raw_server(lambda *_: reply(as_json(**changes), "Content-Type: application/json")) as server,
        pytest.raises(CloudAnswerInvalid),
    ):
        ask(server.url, top=2)


@pytest.mark.parametrize(
    "pictures",
    [
        [[Likely(1, 0.9)]],
        [[Likely(1, 0.9), Likely(2, 0.05), Likely(0, 0.05)]],
        [[Likely(1, 0.9), Likely(3, 0.1)]],
        [[Likely(1, 0.9), Likely(2, 0.1)]] * 2,
    ],
    ids=["too few guesses", "too many", "no such class", "too many pictures"],
)
def test_a_compact_answer_that_does_not_fit_is_refused(pictures: list[list[Likely]]) -> None:
    with (
        raw_server(lambda *_: reply(pack(compact(pictures, TIMINGS)), COMPACT)) as server,
        pytest.raises(CloudAnswerInvalid),
    ):
        ask(server.url, top=2)


def test_where_the_bundle_has_fewer_classes_than_were_asked_for_all_are_given() -> None:
    body = pack(compact([[Likely(1, 0.5), Likely(2, 0.3), Likely(0, 0.2)]], TIMINGS))
    with raw_server(lambda *_: reply(body, COMPACT)) as server:
        assert ask(server.url, top=99) == ["cat"]


ESCAPES = "\x1b]0;title\x07\x1b[2J\n\r\x9b31m\u202e\u2028 words "


def test_a_clouds_words_are_shown_without_control_characters_and_cut(
    cat: Path,
) -> None:
    body = json.dumps({"error": "Teapot", "message": ESCAPES + "x" * 5000}).encode()
    with raw_server(lambda *_: reply(body, status="400 Bad Request")) as server:
        result = edge_client("classify", cat, "--cloud", server.url, "--json")
    assert result.exit_code == 6
    shown = result.stdout + result.stderr
    assert "\\x1b]0;title\\x07" in shown
    assert "words xxx" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert max(map(len, shown.splitlines())) < 1000


def test_what_a_server_says_that_speaks_no_http_is_shown_likewise() -> None:
    with (
        raw_server(lambda *_: [ESCAPES.encode() * 500 + b"\r\n\r\n"]) as server,
        pytest.raises(CloudUnreachable) as caught,
    ):
        ask(server.url, 1.0)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_last_try_that_the_deadline_ends_says_why_the_one_before_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = itertools.count()

    def fail_then_hang(*_: object) -> Iterator[bytes]:
        if next(tries):
            time.sleep(1)
        yield from reply(b"", status="500 Internal Server Error")

    monkeypatch.setattr("splitwire.edge.network.connection._BACK_OFF", lambda _: 0.7)
    with raw_server(fail_then_hang) as server, pytest.raises(CloudUnreachable):
        ask(server.url, 1.0)


def test_a_user_name_and_password_go_to_the_server_and_nowhere_else(cat: Path, tmp_path: Path) -> None:
    with raw_server(lambda *_: reply(b"no", status="404 Not Found")) as server:
        url = server.url.replace("//", "//someone:s%40cret@")
        for command in (["classify", str(cat), "--no-fallback"], ["info"], ["pull", str(tmp_path / "p")]):
            try:
                done = edge_client(*command, "--cloud", url)
                assert done.exit_code
                words = done.stdout + done.stderr
            except SplitwireError as exc:
                words = f"{exc!r} {exc}"
            assert server.url in words
            assert "someone" not in words
            assert "cret" not in words
    assert len(server.requests) >= 3
    assert all("Authorization: Basic c29tZW9uZTpzQGNyZXQ=" in request for request in server.requests)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:secret@",
        "http://me:sec/ret@host:1",
        "http://me:secret@host:99999",
        "ftp://me:secret@host",
        "me:secret@host",
        "//me:secret@host",
        "http://me:sec@ret@host:x",
        "http://me:secret@host/infer",
        "http://me:secret@host\x1b[2J",
    ],
)
def test_a_url_that_can_not_be_used_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        asyncio.run(ask_at(url))
    assert "ret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_help_shows_no_password_of_a_file_of_settings(tmp_path: Path) -> None:
    config = tmp_path / "device.toml"
    config.write_text('cloud = "http://me:hush@host"\nkey = "hush"\n')
    for command in ("classify", "watch", "info", "pull"):
        result = edge_client("--config", config, command, "--help")
        assert result.exit_code == 0
        assert "hush" not in result.stdout


def test_a_key_and_a_password_are_one_too_many() -> None:
    async def both() -> None:
        async with connected("http://me:secret@host", "key"):
            pass

    with pytest.raises(SettingsError, match="leave one out") as caught:
        asyncio.run(both())
    assert "secret" not in str(caught.value)


def test_connections_say_their_url_without_a_password() -> None:
    async def look() -> Connection:
        async with connected("http://me:secret@host:1/path") as connection:
            assert isinstance(connection, Connection)
            return connection

    connection = asyncio.run(look())
    assert connection.url == "http://host:1/path"
    assert "secret" not in repr(connection)
