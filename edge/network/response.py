"""What comes back from whoever answers: so many bytes and no more, an answer or what was refused.

A cloud encodes nothing and says its errors in JSON, with a name. Anything else was said by something before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError

from splitwire.edge.errors import CloudAnswerInvalid, CloudUnreachable
from splitwire.edge.network.answer_check import check, predictions
from splitwire.edge.network.exceptions import refusal
from splitwire.shared.answer import CONTENT_TYPE as COMPACT
from splitwire.shared.answer import MAX_ANSWER_BYTES, MAX_GUESSES, unpack
from splitwire.shared.errors import AnswerError
from splitwire.shared.messages import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from splitwire.shared.messages import Prediction, Timings


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
        return b"".join([chunk async for chunk in chunks(url, response, most if good else MAX_ANSWER_BYTES)])
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
            reason = "its answer was cut off; is it, or a proxy before it, stopping?"
            raise CloudUnreachable(url, reason) from exc
        foreign = "HTTP 200 without a Splitwire answer; is the URL a cloud's?"
        raise CloudAnswerInvalid(url, str(exc) if isinstance(exc, AnswerError) else foreign) from exc
    return found, timings


def _cut(response: httpx.Response, body: bytes) -> bool:
    """Tell whether an answer may be the beginning of one: nothing but the connection's end says where it ends."""
    ours = response.headers.get("Content-Type") in (COMPACT, "application/json")
    framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return not body or (ours and not framed)
