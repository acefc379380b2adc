"""httpx's errors, and a cloud's refusals, as errors of the device: one mapping for everything that asks a cloud."""

from __future__ import annotations

import time
from contextlib import contextmanager
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
from splitwire.shared.errors import CODES, LONGEST_SHOWN, shown
from splitwire.shared.messages import ErrorAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE)
_LATE = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.GATEWAY_TIMEOUT)
HOPELESS = "DeadlinePassed"
"""The name of the error after which trying again is too late."""


@contextmanager
def map_exceptions(url: str, late: str, unreachable: str) -> Iterator[None]:
    """Raise what httpx raises, and the end of a time limit, as errors of the device.

    ``late``, ``unreachable``: what to say, and what to do about it.
    """
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as exc:
        raise CloudLate(url, late) from exc
    except httpx.RequestError as exc:
        reason = shown(str(exc) or type(exc).__name__, LONGEST_SHOWN)
        raise CloudUnreachable(url, f"{reason}; {unreachable}") from exc


def refusal(url: str, response: httpx.Response, body: bytes) -> CloudError:
    """Make an error of a status other than 200.

    An error that the cloud names counts as the status that ``splitwire.shared.errors.CODES`` gives it. The response's
    own status counts where there is no such name: a proxy answered, or the router.
    """
    said = _said(body)
    named = CODES.get(said.error) if said else None
    status = (named and named.status) or response.status_code
    words = shown(said.message if said else response.reason_phrase, LONGEST_SHOWN)
    if status in _BUSY:
        return CloudBusy(url, response.status_code, words, _retry_after(response))
    if status in _LATE:
        hopeless = said is not None and said.error == HOPELESS
        return CloudLate(url, f"{words} (HTTP {response.status_code})", may_pass=not hopeless)
    if said is not None:
        return CloudRefused(url, status, words)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return CloudUnreachable(url, f"{words} (HTTP {status}), said by no cloud; is a proxy before it?")
    return CloudAnswerInvalid(url, f"HTTP {status} without a Splitwire answer; is the URL a cloud's?")


def _said(body: bytes) -> ErrorAnswer | None:
    """Read what a cloud says of its status; None where it is not a cloud that answered."""
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
