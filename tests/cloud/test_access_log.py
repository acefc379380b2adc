"""What every request gets: an id, a count, a line in the log; and bounds on its headers."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from splitwire.cloud.http.access_log import AccessLog
from splitwire.cloud.http.error_answers import ErrorAnswers
from splitwire.cloud.logs import JsonFormatter, TextFormatter
from splitwire.cloud.metrics import Metrics
from tests.cloud.application import error_of, frame_of, serving

if TYPE_CHECKING:
    import httpx
    import numpy as np
    from numpy.typing import NDArray
    from starlette.types import Message, Receive, Scope, Send

    from splitwire.shared.bundle import Bundle

pytestmark = pytest.mark.anyio


async def samples(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Name and label values of a metric -> its value."""
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_every_answer_has_an_id_of_its_own(client: httpx.AsyncClient, frame: bytes) -> None:
    responses = [
        await client.post("/infer", content=frame),
        await client.post("/infer", content=b""),
        await client.get("/nowhere"),
        await client.get("/healthz"),
    ]
    ids = {response.headers["X-Request-Id"] for response in responses}
    assert len(ids) == 4
    assert all(ids)


async def test_a_sane_id_of_the_caller_is_kept(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz", headers={"X-Request-Id": "cam-7_2026.11.24"})
    assert response.headers.get_list("X-Request-Id") == ["cam-7_2026.11.24"]


@pytest.mark.parametrize("given", [b"", b"a b", b"a;b", b"x" * 65, b"\xfc", b"a\tb", b'"a"', b"a=b"])
async def test_any_other_id_is_replaced(client: httpx.AsyncClient, given: bytes) -> None:
    response = await client.get("/healthz", headers=[(b"X-Request-Id", given)])
    assert response.headers["X-Request-Id"].isalnum()
    assert response.headers["X-Request-Id"] != given.decode("latin-1")


async def test_a_line_in_the_log_says_what_a_request_was(
    client: httpx.AsyncClient, frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "splitwire.cloud.http.access_log")
    response = await client.post("/infer", content=frame, headers={"X-Request-Id": "mine"})
    await client.post("/infer", content=b"junk")
    first, second = (json.loads(JsonFormatter().format(record)) for record in caplog.records)
    assert response.status_code == 200
    assert first["message"] == "request"
    assert first["level"] == "info"
    assert (first["request_id"], first["method"], first["path"], first["status"]) == (
        "mine",
        "POST",
        "/infer",
        200,
    )
    assert (first["bundle"], first["quality"], first["pictures"]) == ("vgg16-cifar10", "int8", 1)
    assert first["body_bytes"] == len(frame)
    assert first["ms"] > 0
    assert (second["status"], "quality" in second) == (400, False)


async def test_an_unforeseen_failure_is_answered_and_its_traceback_names_the_request() -> None:
    sent: list[Message] = []

    async def broken(_: Scope, __: Receive, ___: Send) -> None:
        raise ValueError("why")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"x-request-id", b"mine")],
    }
    with pytest.raises(ValueError, match="why") as failed:
        await AccessLog(ErrorAnswers(broken), Metrics())(scope, receive, send)
    assert failed.value.__notes__ == ["request mine"]
    assert sent[0]["status"] == 500
    assert (b"x-request-id", b"mine") in sent[0]["headers"]


def test_no_caller_can_write_lines_or_fields_of_the_text_log() -> None:
    record = logging.LogRecord("cloud", logging.INFO, "", 0, "request", None, None)
    record.fields = {"path": "/a\nb", "id": "x y=z", "empty": "", "fine": "a/b", "accent": "\u00e9"}
    line = TextFormatter().format(record)
    assert line.endswith('info request path="/a\\nb" id="x y=z" empty="" fine=a/b accent="\\u00e9"')


def test_a_traceback_stays_in_its_json_line() -> None:
    try:
        raise ValueError("why")  # noqa: TRY301 - to have a traceback
    except ValueError:
        record = logging.LogRecord("cloud", logging.ERROR, "", 0, "failed", None, sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["traceback"].endswith("ValueError: why")
    assert TextFormatter().format(record).endswith("ValueError: why")


async def test_metrics_count_requests_pictures_bytes_batches_and_times(
    client: httpx.AsyncClient, device_bundle: Bundle, latent: NDArray[np.float32], frame: bytes
) -> None:
    two = frame_of(device_bundle, [latent, latent], "paper")
    await client.post("/infer", content=frame)
    await client.post("/infer", content=two)
    await client.post("/infer", content=b"junk")
    for path in ("/nowhere", "/elsewhere"):
        await client.get(path)
    found = await samples(client)
    assert found["splitwire_requests_total", "/infer", "200"] == 2
    assert found["splitwire_requests_total", "/infer", "400"] == 1
    assert found["splitwire_requests_total", "other", "404"] == 2
    assert found["splitwire_pictures_total", "vgg16-cifar10", "int8"] == 1
    assert found["splitwire_pictures_total", "vgg16-cifar10", "paper"] == 2
    assert found["splitwire_frame_bytes_total", "vgg16-cifar10", "paper"] == len(two)
    assert found["splitwire_queue_pictures",] == 0
    assert found["splitwire_batch_pictures_count",] == 2
    assert found["splitwire_batch_pictures_sum",] == 3
    for stage in ("decode", "queue", "tail"):
        assert found["splitwire_stage_seconds_count", stage] == 2


async def test_two_applications_count_apart(frame: bytes) -> None:
    async with serving() as one, serving() as other:
        await one.post("/infer", content=frame)
        assert ("splitwire_requests_total", "/infer", "200") in await samples(one)
        assert ("splitwire_requests_total", "/infer", "200") not in await samples(other)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/healthz", {f"X-{number}": "x" for number in range(70)}),
        ("/healthz", {"X-Long": "x" * 20_000}),
        ("/infer?top=" + "9" * 20_000, {}),
        ("/" + "x" * 20_000, {}),
    ],
)
async def test_431_headers_over_their_caps(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    response = await client.get(path, headers=headers)
    assert (response.status_code, error_of(response)) == (431, "HeadersTooLarge")
