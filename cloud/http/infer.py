"""``POST /infer``: a request to what ``Service.infer`` takes, and what that gives to an answer."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

from fastapi import Request, Response
from pydantic_core import to_json
from starlette.datastructures import QueryParams

from splitwire.cloud.errors import ParameterInvalid
from splitwire.cloud.http.access_log import NOTED
from splitwire.cloud.http.limits import read_frame
from splitwire.cloud.inference.service import Asked
from splitwire.shared import answer
from splitwire.shared.messages import DEADLINE_HEADER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from splitwire.cloud.inference.service import Admit, Inference, Service

_DEADLINE = DEADLINE_HEADER.lower().encode()
_JSON = "application/json"


def infer_with(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Make the route's function."""
    seconds = service.settings.body_seconds

    async def infer(request: Request) -> Response:
        """Classify every picture of a frame (docs/wire-format.md)."""
        scope, headers = request.scope, dict(request.scope["headers"])
        address, _ = scope["client"] or ("", 0)

        async def read(admit: Admit) -> Asked:
            top, deadline = _top(scope["query_string"]), _deadline(headers.get(_DEADLINE))
            frame = await read_frame(headers, request.receive, admit, seconds=seconds)
            return Asked(frame, top, deadline)

        inference = await service.infer(
            read, authorization=headers.get(b"authorization", b""), address=address, noted=scope[NOTED]
        )
        if wants_compact(b",".join(value for name, value in scope["headers"] if name == b"accept")):
            return Response(_compact(inference), media_type=answer.CONTENT_TYPE)
        return Response(_json(inference), media_type=_JSON)

    return infer


@lru_cache(maxsize=64)  # callers of one kind send the same
def wants_compact(accept: bytes) -> bool:
    """Tell whether an Accept header (RFC 9110, 12.5.1) names the compact answer and likes JSON no better.

    Ranges such as ``*/*`` stand for JSON, which is also the answer to whoever accepts neither.
    """
    weights = dict(filter(None, map(_weight, accept.decode("latin-1").lower().split(","))))
    compact = weights.get(answer.CONTENT_TYPE, 0.0)
    json = next((weights[kind] for kind in (_JSON, "application/*", "*/*") if kind in weights), 0.0)
    return compact > 0 and compact >= json


def _weight(item: str) -> tuple[str, float] | None:
    """Read one media range and its weight, 0 to 1; None where that is no weight."""
    kind, *parameters = (part.strip() for part in item.split(";"))
    text = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        weight = float(text)
    except ValueError:
        return None
    return (kind, weight) if 0 <= weight <= 1 else None


def _compact(inference: Inference) -> bytes:
    guesses = len(inference.pictures[0])
    if guesses > answer.MAX_GUESSES:
        raise ParameterInvalid("top", str(guesses), f"at most {answer.MAX_GUESSES}, or ask for JSON")
    return answer.pack(answer.compact(inference.pictures, inference.timings_ms))


def _json(inference: Inference) -> bytes:
    """Write a ``splitwire.shared.messages.Answer``, in a fraction of the time that building one takes."""
    return to_json(
        {
            "predictions": [inference.task.named(picture) for picture in inference.pictures],
            "bundle": inference.bundle,
            "quality": inference.quality,
            "device": inference.device,
            "timings_ms": inference.timings_ms,
        }
    )


def _top(query: bytes) -> int:
    text = QueryParams(query).get("top", "1") if query else "1"
    if not (text.isascii() and text.isdecimal() and int(text[:9]) >= 1 and len(text) < 10):
        raise ParameterInvalid("top", text, "a whole number from 1")
    return int(text)


def _deadline(milliseconds: bytes | None) -> float | None:
    """Find the moment at which the caller stops waiting, on the monotonic clock."""
    if milliseconds is None:
        return None
    if not (milliseconds.isdigit() and len(milliseconds) < 10):
        raise ParameterInvalid(
            DEADLINE_HEADER, milliseconds.decode("latin-1"), "the milliseconds left, a whole number"
        )
    return time.monotonic() + int(milliseconds) / 1e3
