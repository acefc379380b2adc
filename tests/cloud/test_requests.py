"""What is one request, what is refused, and that nobody's bytes are taken for somebody else's request."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cloud.malformed import BROKEN_CHUNKS, CHUNKED, GET, HEADERS, LAST_CHUNKS, MALFORMED, UPGRADE
from tests.cloud.test_protocol import connected, one_answer, rest_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

LAST = GET[:-2] + b"Connection: close\r\n\r\n"
SMUGGLED = b"GET /nowhere HTTP/1.1\r\nHost: cloud\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def statuses(answers: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in answers.split(b"HTTP/1.1 ")[1:]]


async def answers_to(port: int, *parts: bytes) -> bytes:
    """Everything that comes back until the cloud ends the connection."""
    async with connected(port) as (reader, writer):
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)
        return await rest_of(reader)


async def test_the_body_of_a_request_that_offers_an_upgrade_is_its_body_and_no_request(
    port: int, frame: bytes
) -> None:
    for version in (b"1.1", b"1.0"):
        head = HEADERS.replace(b"1.1", version) + UPGRADE
        for body, status in ((frame, 200), (SMUGGLED, 400)):
            request = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            for at in (1, 40, len(request) - len(body), len(request) - len(body) + 3):
                answers = await answers_to(port, request[:at], request[at:] + LAST)
                assert statuses(answers) == ([status, 200] if version == b"1.1" else [status])


async def test_a_connection_goes_on_after_an_upgrade_was_declined(port: int, frame: bytes) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(frame)
    requests = [
        HEADERS + UPGRADE + length + frame,
        HEADERS + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(frame),
        HEADERS + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(SMUGGLED),
        GET[:-2] + UPGRADE + b"\r\n",
        GET[:-2] + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        HEADERS + length + frame,
        HEADERS + b"Connection: close, upgrade\r\nUpgrade: x\r\n" + length + frame,
    ]
    wanted = [200, 200, 400, 200, 200, 200, 200]
    assert statuses(await answers_to(port, *requests)) == wanted
    assert statuses(await answers_to(port, b"".join(requests))) == wanted


async def test_a_real_client_that_offers_http_2_has_its_answer(
    port: int, frame: bytes, tmp_path: Path
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    (tmp_path / "frame").write_bytes(frame)
    url = f"http://127.0.0.1:{port}/infer"
    body = ["--data-binary", f"@{tmp_path / 'frame'}", "-H", "Content-Type: application/octet-stream"]
    for more in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        command = [curl, "-sS", "--max-time", "20", "--http2", *body, *more, url, "--next", *body, url]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
        assert done.stdout.count(b'"predictions"') == 2


async def test_connect_has_one_answer_and_its_connection_ends(port: int) -> None:
    answers = await answers_to(port, b"CONNECT cloud:443 HTTP/1.1\r\nHost: cloud:443\r\n\r\n" + GET)
    assert statuses(answers) == [400]


async def test_what_could_be_read_as_another_request_gets_400_and_nothing_behind_it_is_read(
    port: int,
) -> None:
    for malformed in MALFORMED:
        answers = await answers_to(port, malformed + SMUGGLED)
        assert statuses(answers) == [400], malformed
        head, _, body = answers.partition(b"\r\n\r\n")
        assert b"\r\nconnection: close" in head.lower()
        assert json.loads(body)["error"] == "RequestMalformed"


async def test_a_broken_chunk_gets_400_also_where_the_body_is_being_waited_for(port: int) -> None:
    head = CHUNKED
    parts_of = [
        parts
        for chunk in BROKEN_CHUNKS
        for parts in ([head + chunk + GET], [head, chunk + GET], [head + b"5\r\nhello\r\n", chunk, GET])
    ]
    for parts in parts_of:
        answers = await answers_to(port, *parts)
        assert statuses(answers) == [400]
        assert json.loads(answers.partition(b"\r\n\r\n")[2])["error"] == "RequestMalformed"


async def test_a_broken_chunk_of_a_request_that_was_answered_gets_no_second_answer(port: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(await answers_to(port, head, b"zz\r\n" + GET)) == [200]


async def test_what_is_broken_behind_other_requests_is_refused_after_their_answers(
    port: int, frame: bytes
) -> None:
    infer = HEADERS + b"Content-Length: %d\r\n\r\n%b" % (len(frame), frame)
    broken_body = HEADERS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    broken_head = b"GET /healthz HTTP/2.0\r\nHost: cloud\r\n\r\n"
    for broken in (broken_body, broken_head, b"\x00"):
        for first in (infer, GET + infer + infer):
            answers = await answers_to(port, first + broken + GET)
            assert statuses(answers) == [200] * first.count(b" HTTP/1.1") + [400]


async def test_a_late_body_behind_another_request_is_refused_after_its_answer(
    port: int, frame: bytes
) -> None:
    infer = HEADERS + b"Content-Length: %d\r\n\r\n%b" % (len(frame), frame)
    assert statuses(await answers_to(port, infer + infer[:-1])) == [200, 408]


async def test_a_trailer_is_no_header(port: int, frame: bytes) -> None:
    body = chunked(frame)[:-2] + b"Content-Type: text/plain\r\nX-Request-Id: smuggled\r\n\r\n"
    async with connected(port) as (reader, writer):
        writer.write(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"smuggled" not in head


@pytest.mark.parametrize("head", [CHUNKED, CHUNKED.replace(b"POST /infer", b"GET /healthz")])
async def test_whatever_a_trailer_says_the_connection_goes_on_or_ends(port: int, head: bytes) -> None:
    for last in LAST_CHUNKS:
        for parts in ([head + last + GET], [head + last, GET], [head, last, GET]):
            async with connected(port) as (reader, writer):
                for part in parts:
                    writer.write(part)
                    await asyncio.sleep(0.02)
                answers = b""
                async with asyncio.timeout(0.5):  # before it would end for being idle
                    while answers.count(b"HTTP/1.1 ") < 2 and (data := await reader.read(65_536)):
                        answers += data
            assert statuses(answers)[0] in (200, 400)
            assert statuses(answers)[1:] in ([], [200]), last


async def test_a_connection_that_a_trailer_ends_says_so(port: int) -> None:
    answers = await answers_to(port, CHUNKED + b"0\r\nConnection: close\r\n\r\n" + GET)
    assert statuses(answers) == [400]
    assert b"\r\nconnection: close\r\n" in answers


async def test_what_http_allows_is_served(port: int) -> None:
    lines = [b"GET http://other/healthz HTTP/1.1", b"\r\nGET /healthz HTTP/1.1", b"GET /healthz#x HTTP/1.1"]
    for line in lines:
        for host in (b"cloud", b"", b"cloud:8000", b"cloud \t", b"[::1]:8000", b"xn--a_b.example"):
            async with connected(port) as (reader, writer):
                writer.write(line + b"\r\nHost: " + host + b"\r\n\r\n")
                assert (await one_answer(reader))[0] == 200


async def test_http_1_0_needs_no_host(port: int) -> None:
    assert statuses(await answers_to(port, b"GET /healthz HTTP/1.0\r\n\r\n")) == [200]


async def test_every_request_that_was_read_is_answered_and_one_too_many_refused(port: int) -> None:
    assert statuses(await answers_to(port, GET * 66)) == [200] * 65 + [400]


@pytest.mark.parametrize(
    ("path", "lines", "waiting"),
    [
        (b"/healthz", b"", 64),
        (b"/healthz", b"a: b\r\n" * 21, 2),
        (b"/healthz", b"a: " + b"b" * 5_400 + b"\r\n", 3),
        (b"/healthz?" + b"x" * 7_000, b"", 3),
    ],
)
async def test_requests_that_wait_share_the_caps_of_one(
    port: int, frame: bytes, path: bytes, lines: bytes, waiting: int
) -> None:
    request = GET[:-2].replace(b"/healthz", path) + lines + b"\r\n"
    infer = HEADERS + b"Content-Length: %d\r\n\r\n%b" % (len(frame), frame)
    answers = await answers_to(port, infer + request * (waiting + 1))
    assert statuses(answers) == [200] * (1 + waiting) + [400]
    async with connected(port) as (reader, writer):
        for _ in range(waiting + 2):
            writer.write(request)
            assert (await one_answer(reader))[0] == 200


async def test_what_is_refused_before_it_is_a_request_is_counted_and_logged_once_a_second(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "splitwire.cloud.http.server"):
        for _ in range(3):
            await answers_to(port, b"\x00")
        await answers_to(port, GET[:9])
    metrics = await answers_to(port, b"GET /metrics HTTP/1.1\r\nHost: cloud\r\nConnection: close\r\n\r\n")
    assert b'splitwire_requests_total{route="other",status="400"} 3.0' in metrics
    assert b'splitwire_requests_total{route="other",status="408"} 1.0' in metrics
    lines = [record for record in caplog.records if "no valid request" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].__dict__["fields"] == {"status": 400, "error": "RequestMalformed", "refused": 1}


async def test_a_broken_chunk_counts_once_and_who_hangs_up_is_counted_nowhere(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "splitwire.cloud.http.access_log"):
        assert statuses(await answers_to(port, CHUNKED, b"zz\r\n")) == [400]
        async with connected(port) as (_, writer):
            writer.write(HEADERS + b"Content-Length: 10\r\n\r\nhello")
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        metrics = await answers_to(port, b"GET /metrics HTTP/1.1\r\nHost: cloud\r\nConnection: close\r\n\r\n")
    counts = [line for line in metrics.splitlines() if line.startswith(b"splitwire_requests_total")]
    assert counts == [b'splitwire_requests_total{route="other",status="400"} 1.0']
    fields = [record.__dict__["fields"] for record in caplog.records]
    assert [(each["path"], each["status"]) for each in fields] == [
        ("/infer", 0),
        ("/infer", 0),
        ("/metrics", 200),
    ]


async def test_who_is_refused_while_still_sending_can_read_why(port: int) -> None:
    for _ in range(20):
        async with connected(port) as (reader, writer):
            writer.write(b"\x00" + bytes(300_000))
            await asyncio.sleep(0.01)
            writer.write(bytes(300_000))
            assert statuses(await reader.readuntil(b"}")) == [400]
