"""The error that a cloud names decides what a device does; the status does where there is no name."""

from __future__ import annotations

import httpx
import pytest

from splitwire.cloud import errors as cloud_errors
from splitwire.cloud.errors import RequestError
from splitwire.edge.errors import (
    CloudAnswerInvalid,
    CloudBusy,
    CloudError,
    CloudLate,
    CloudRefused,
    CloudUnreachable,
)
from splitwire.edge.network.exceptions import HOPELESS, map_exceptions, refusal
from splitwire.shared.errors import CODES

URL = "http://cloud"
TEAPOT = 418
BUSY = {"ConnectionsFull", "NotReady", "QueueFull"}
LATE = {"BodyLate", "DeadlinePassed", "HeadersLate"}


def refused(status: int, name: str) -> CloudError:
    body = f'{{"error": "{name}", "message": "no"}}'.encode() if name else b"<html>"
    return refusal(URL, httpx.Response(status), body)


@pytest.mark.parametrize("name", [kind.__name__ for kind in RequestError.__subclasses__()])
def test_a_named_error_counts_whatever_the_status_is(name: str) -> None:
    error = refused(TEAPOT, name)
    if name in BUSY:
        assert isinstance(error, CloudBusy)
    elif name in LATE:
        assert isinstance(error, CloudLate)
        assert error.may_pass == (name != "DeadlinePassed")
    else:
        assert isinstance(error, CloudRefused)
        assert error.status == CODES[name].status


def test_the_names_that_a_device_acts_on_are_names_of_the_clouds_errors() -> None:
    for name in {HOPELESS} | BUSY | LATE:
        assert issubclass(getattr(cloud_errors, name), RequestError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, CloudBusy),
        (502, CloudBusy),
        (503, CloudBusy),
        (408, CloudLate),
        (504, CloudLate),
        (500, CloudUnreachable),
        (404, CloudAnswerInvalid),
    ],
)
def test_without_a_name_the_status_counts(status: int, kind: type[CloudError]) -> None:
    error = refused(status, "")
    assert type(error) is kind
    assert f"HTTP {status}" in str(error)


def test_a_name_of_the_devices_own_errors_says_nothing() -> None:
    assert isinstance(refused(503, "CloudUnreachable"), CloudBusy)


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (TimeoutError(), CloudLate, "late"),
        (httpx.ReadTimeout("x"), CloudLate, "late"),
        (httpx.ConnectError("refused"), CloudUnreachable, "refused; gone"),
        (httpx.ReadError(""), CloudUnreachable, "ReadError; gone"),
    ],
)
def test_what_httpx_raises_becomes_an_error_of_the_device(
    raised: Exception, kind: type[CloudError], words: str
) -> None:
    with pytest.raises(kind) as caught, map_exceptions(URL, late="late", unreachable="gone"):
        raise raised
    assert str(caught.value) == f"cloud {URL}: {words}"
