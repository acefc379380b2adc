"""Frames in, answers out: ``POST /infer``."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.datastructures import QueryParams

from splitwire.cloud.errors import ParameterInvalid
from splitwire.cloud.http.accept import wants_compact
from splitwire.cloud.http.access_log import entry_of
from splitwire.cloud.http.body import read_body
from splitwire.cloud.http.error_answers import refusal
from splitwire.shared.answer import CONTENT_TYPE, MAX_GUESSES, compact, pack
from splitwire.shared.errors import PayloadInvalid, SplitwireError
from splitwire.shared.frame import unpack
from splitwire.shared.messages import DEADLINE_HEADER, Likely, Timings

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from splitwire.cloud.inference.engine import Loaded
    from splitwire.cloud.inference.service import Service
    from splitwire.shared.messages import Model

_DEADLINE = DEADLINE_HEADER.lower().encode()


class Infer:
    """The route as an ASGI application of its own: the way through FastAPI takes longer than all that is done here."""

    path = "/infer"

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["route"] = self
        try:
            kind, body = await self.answer(scope, receive)
        except SplitwireError as error:
            await refusal(error)(scope, receive, send)
            return
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive) -> tuple[str, bytes]:
        """Classify every picture of a frame: the answer, after its media type.

        Raises:
            SplitwireError: what is wrong with the request, or with the server's state.

        """
        headers = dict(scope["headers"])
        address, _ = scope["client"] or ("", 0)
        with self._service.admitted(headers.get(b"authorization", b""), address) as (parts, admission):
            deadline, top = _deadline(headers.get(_DEADLINE)), _top(scope["query_string"])
            body = await read_body(headers, receive, admission.admit)
            started = time.monotonic()
            frame = unpack(body)
            loaded = parts.engine.loaded(frame.fingerprint)
            entry, size = entry_of(scope), len(body)
            entry.bundle, entry.quality = loaded.manifest.id, loaded.quality
            entry.pictures, entry.body_bytes = len(frame.payloads), size
            caller, large = admission.caller, admission.large
            parts.batcher.check_room(caller, len(frame.payloads), large=large)  # before the work of decoding
            decoded = parts.engine.decode(frame)
            del body, frame  # what waits is kept once
            seconds = time.monotonic() - started
            result = await parts.batcher.submit(decoded, caller, deadline, large=large)
            pictures = [
                [Likely(*pair) for pair in zip(classes, probabilities, strict=True)]
                for classes, probabilities in zip(
                    result.classes[:, :top].tolist(), result.probabilities[:, :top].tolist(), strict=True
                )
            ]
            if not all(math.isfinite(picture[0].probability) for picture in pictures):
                raise PayloadInvalid(loaded.quality, "values too large for the network")
            self._service.metrics.frame_done(
                loaded.manifest.id,
                loaded.quality,
                pictures=len(pictures),
                body_bytes=size,
                decoded=seconds,
                queued=result.queued,
            )
            timings = {
                "decode": round(1e3 * seconds, 3),
                "queue": round(1e3 * result.queued, 3),
                "tail": round(1e3 * result.computed, 3),
            }
            if wants_compact(headers.get(b"accept", b"")):
                return CONTENT_TYPE, _compact_answer(pictures, Timings(**timings))
            return "application/json", _json_answer(pictures, timings, loaded, parts.model)


def _compact_answer(pictures: list[list[Likely]], timings: Timings) -> bytes:
    if len(pictures[0]) > MAX_GUESSES:
        raise ParameterInvalid("top", str(len(pictures[0])), f"at most {MAX_GUESSES}, or ask for JSON")
    return pack(compact(pictures, timings))


def _json_answer(
    pictures: list[list[Likely]], timings: dict[str, float], loaded: Loaded, model: Model
) -> bytes:
    """Write a ``splitwire.shared.messages.Answer``, in a fraction of the time that building one takes."""
    classes = loaded.manifest.classes
    tops = [
        [
            {
                "label": classes[each.class_id],
                "class_id": each.class_id,
                "probability": round(each.probability, 6),
            }
            for each in picture
        ]
        for picture in pictures
    ]
    return to_json(
        {
            "predictions": [{**top[0], "top": top} for top in tops],
            "bundle": loaded.manifest.id,
            "quality": loaded.quality,
            "device": model.device,
            "timings_ms": timings,
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
