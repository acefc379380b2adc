"""What comes back from whoever answers: so many bytes and no more, an answer or what was refused.

A cloud encodes nothing and says its errors in JSON, with a name. Anything else was said by something before it.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError

from splitwire.edge.errors import (
    CloudAnswerInvalid,
    CloudBusy,
    CloudError,
    CloudLate,
    CloudRefused,
    CloudUnreachable,
)
from splitwire.edge.network.answer_check import check, predictions
from splitwire.shared.answer import CONTENT_TYPE as COMPACT
from splitwire.shared.answer import MAX_ANSWER_BYTES, MAX_GUESSES, unpack
from splitwire.shared.errors import LONGEST_SHOWN, AnswerError, shown
from splitwire.shared.messages import Answer, ErrorAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from splitwire.shared.messages import Prediction, Timings

MAX_ERROR_BYTES = MAX_ANSWER_BYTES
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE)
_LATE = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.GATEWAY_TIMEOUT)


async def chunks(url: str, response: httpx.Response, most: int) -> AsyncIterator[bytes]:
    """Give a body as it comes over the wire, at most ``most`` bytes; nothing is decoded.

    Raises:
        CloudAnswerInvalid: it is encoded, or longer.

    """
    if "Content-Encoding" in response.headers:
        raise CloudAnswerInvalid(url, "its answer is encoded, which was not asked for; is the URL a cloud's?")
    left = most
    if int(response.headers.get("Content-Length", 0)) <= left:  # h11 has checked that it is a number
        async for chunk in response.aiter_raw():
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        else:
            return
    raise CloudAnswerInvalid(url, f"its answer is over {most:,} bytes; is the URL a cloud's?")


async def read(url: str, response: httpx.Response, most: int) -> bytes:
    """Read a body; an error's as far as it can be a cloud's.

    Raises:
        CloudAnswerInvalid: it is encoded, or longer.

    """
    good = response.status_code == httpx.codes.OK
    try:
        return b"".join([chunk async for chunk in chunks(url, response, most if good else MAX_ERROR_BYTES)])
    except CloudAnswerInvalid:
        if good:
            raise
        return b""


def longest_answer(pictures: int, top: int, classes: Sequence[str]) -> int:
    """Tell how many bytes an answer can have, in either form."""
    guesses = min(top, len(classes), MAX_GUESSES)
    label = 12 * max(map(len, classes))  # two escapes are JSON's longest way to write a character
    return max(MAX_ANSWER_BYTES, 4096 + pictures * (1 + guesses) * (128 + label))


def read_answer(
    url: str, response: httpx.Response, body: bytes, *, pictures: int, top: int, classes: Sequence[str]
) -> tuple[tuple[Prediction, ...], Timings]:
    """Read what was said of a frame's pictures.

    Raises:
        CloudError: there is no answer, or none that fits the question; see ``Connection.infer``.

    """
    if response.status_code != httpx.codes.OK:
        raise refusal(url, response, body)
    try:
        if response.headers.get("Content-Type") == COMPACT:
            answer = unpack(body)
            found, timings = predictions(answer, classes), answer.timings_ms
        else:
            full = Answer.model_validate_json(body)
            found, timings = full.predictions, full.timings_ms
        check(found, timings, pictures=pictures, top=top, classes=classes)
    except (ValidationError, AnswerError) as exc:
        if _cut(response, body):
            raise CloudUnreachable(
                url, "its answer was cut off; is it, or a proxy before it, stopping?"
            ) from exc
        if isinstance(exc, AnswerError):
            raise CloudAnswerInvalid(url, str(exc)) from exc
        raise CloudAnswerInvalid(url, "HTTP 200 without a Splitwire answer; is the URL a cloud's?") from exc
    return found, timings


def _cut(response: httpx.Response, body: bytes) -> bool:
    """Tell whether an answer may be the beginning of one: nothing but the connection's end says where it ends."""
    ours = response.headers.get("Content-Type") in (COMPACT, "application/json")
    framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return not body or (ours and not framed)


def refusal(url: str, response: httpx.Response, body: bytes) -> CloudError:
    """Make an error of a status other than 200."""
    status, said = response.status_code, _said(body)
    words = shown(said.message if said else response.reason_phrase, LONGEST_SHOWN)
    if status in _BUSY:
        return CloudBusy(url, status, words, _retry_after(response))
    if status in _LATE:
        passed = said is not None and said.error == "DeadlinePassed"
        return CloudLate(url, f"{words} (HTTP {status})", may_pass=not passed)
    if said is not None:
        return CloudRefused(url, status, words)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return CloudUnreachable(url, f"{words} (HTTP {status}), said by no cloud; is a proxy before it?")
    return CloudAnswerInvalid(url, f"HTTP {status} without a Splitwire answer; is the URL a cloud's?")


def _said(body: bytes) -> ErrorAnswer | None:
    """Find what a cloud says of its status; None where it is not a cloud that answered."""
    try:
        return ErrorAnswer.model_validate_json(body)
    except ValidationError:
        return None


def _retry_after(response: httpx.Response) -> float:
    """Seconds, given as such or as a date, that the cloud asks to be left alone; 0 where it says nothing usable."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
