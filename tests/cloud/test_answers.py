"""The compact answer, for those who ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from splitwire.cloud.http.infer import wants_compact
from splitwire.cloud.inference.engine import Engine
from splitwire.edge.network.answer_check import predictions
from splitwire.shared.answer import CONTENT_TYPE, unpack
from splitwire.shared.messages import Answer
from tests.cloud.application import OCTETS, error_of, frame_of

if TYPE_CHECKING:
    from splitwire.shared.bundle import Bundle

pytestmark = pytest.mark.anyio
COMPACT = {"Accept": CONTENT_TYPE}


@pytest.mark.parametrize(
    ("accept", "compact"),
    [
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", False),
        ("text/html", False),
        (CONTENT_TYPE, True),
        (CONTENT_TYPE.upper(), True),
        (f"{CONTENT_TYPE}, application/json", True),
        (f"{CONTENT_TYPE}, */*", True),
        (f"application/json, {CONTENT_TYPE};q=0.9", False),
        (f"application/json;q=0.5 , {CONTENT_TYPE} ; q=0.6", True),
        (f"*/*;q=0.9, {CONTENT_TYPE};q=0.8", False),
        (f"{CONTENT_TYPE};q=0", False),
        (f"{CONTENT_TYPE};q=0, */*", False),
        (f"{CONTENT_TYPE};q=x", False),
        (f"{CONTENT_TYPE};q=nan", False),
        (f"{CONTENT_TYPE};q=7", False),
        (f",;,{CONTENT_TYPE}", True),
    ],
)
def test_the_compact_answer_goes_to_who_names_it_and_likes_json_no_better(
    accept: str, *, compact: bool
) -> None:
    assert wants_compact(accept.encode()) == compact


@pytest.mark.parametrize("top", [1, 3, 10, 1000])
async def test_the_compact_answer_says_what_the_json_says(
    client: httpx.AsyncClient, device_bundle: Bundle, top: int
) -> None:
    rng = np.random.default_rng(1)
    latents = [rng.normal(scale=20, size=(128, 5, 5)).astype(np.float32) for _ in range(5)]
    body = frame_of(device_bundle, latents)
    response = await client.post("/infer", params={"top": top}, content=body, headers=COMPACT)
    same = await client.post("/infer", params={"top": top}, content=body)
    assert response.headers["Content-Type"] == CONTENT_TYPE
    assert len(response.content) == 8 + 5 * 4 * min(top, 10)
    answer = unpack(response.content)
    named = predictions(answer, device_bundle.manifest.classes)
    for one, other in zip(named, Answer.model_validate_json(same.content).predictions, strict=True):
        assert one.class_id == other.class_id
        for guess, expected in zip(one.top, other.top, strict=True):
            assert guess.label == device_bundle.manifest.classes[guess.class_id]
            assert guess.probability == pytest.approx(expected.probability, abs=1e-4)
    assert answer.timings_ms.tail > 0


async def test_two_accept_lines_are_one_list(client: httpx.AsyncClient, frame: bytes) -> None:
    for lines in ([CONTENT_TYPE, "text/html"], ["text/html", CONTENT_TYPE]):
        headers = [("Accept", line) for line in lines]
        request = client.build_request("POST", "/infer", content=frame)
        request.headers = httpx.Headers([*OCTETS.items(), *headers, ("Content-Length", str(len(frame)))])
        assert (await client.send(request)).headers["Content-Type"] == CONTENT_TYPE


async def test_errors_are_json_for_everyone(client: httpx.AsyncClient) -> None:
    response = await client.post("/infer", content=b"junk", headers=COMPACT)
    assert (response.status_code, error_of(response)) == (400, "FrameMagicInvalid")


async def test_400_more_guesses_than_the_compact_answer_has_room_for(
    client: httpx.AsyncClient, frame: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.full((1, 300), 1 / 300, dtype=np.float32)
    monkeypatch.setattr(Engine, "classify", lambda *_: rows)
    for top, status in ((255, 200), (256, 400)):
        response = await client.post("/infer", params={"top": top}, content=frame, headers=COMPACT)
        assert response.status_code == status
    assert error_of(response) == "ParameterInvalid"
