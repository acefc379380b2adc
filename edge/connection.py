"""The way to a cloud, and what comes back.

A try that fails for a reason that may pass is made again, while the picture's deadline allows. A cloud
that failed several times in a row is not asked again for a while.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from circuitbreaker import STATE_HALF_OPEN, CircuitBreaker
from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from edge.embedded import URL as EMBEDDED_URL
from edge.embedded import embedded_cloud
from edge.wire import Wire, WireCounter
from shared.answer import CONTENT_TYPE as COMPACT
from shared.answer import predictions, unpack
from shared.errors import (
    AnswerError,
    CloudAnswerInvalid,
    CloudBusy,
    CloudError,
    CloudLate,
    CloudRefused,
    CloudUnreachable,
    SettingsError,
)
from shared.messages import DEADLINE_HEADER, Answer, ErrorAnswer, Prediction, Timings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edge.deadline import Deadline
    from edge.settings import DeviceSettings

AnyClient = TypeVar("AnyClient", httpx.Client, httpx.AsyncClient)

_NEVER_BY_PROXY = ("embedded", "localhost", "127.0.0.1", "::1")
_NEEDLESS_HEADERS = ("Accept-Encoding", "Connection", "User-Agent")
"""What httpx sends by itself and no cloud of ours reads."""
_TRY_SHARE = 0.7
"""How much of what is left a try may take, so that another one can follow."""
_LEAST_TRY_SECONDS = 0.02
_IDLE_SECONDS = 13.0
"""How long a connection is kept for the next picture; clouds keep it a little longer."""
_BACK_OFF = wait_random_exponential(multiplier=0.1, max=2)
_FAILURES_TO_OPEN = 3
_SECONDS_OPEN = 5


def _breaker() -> CircuitBreaker:
    def counts(_: type[BaseException], error: BaseException) -> bool:
        return isinstance(error, CloudError) and error.may_pass and not isinstance(error, CloudBusy)

    return CircuitBreaker(
        failure_threshold=_FAILURES_TO_OPEN, recovery_timeout=_SECONDS_OPEN, expected_exception=counts
    )


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """An answer for every picture of a frame, and what the try that brought it cost.

    ``seconds``: from sending to having the answer. ``wire``: None where that can't be known. ``wire_bytes``: of all
    tries; None where one's can't be known, as where no answer came.
    """

    predictions: tuple[Prediction, ...]
    timings_ms: Timings
    seconds: float
    wire: Wire | None
    wire_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """An open way to one cloud."""

    client: httpx.AsyncClient
    url: str
    source: str
    """``cloud`` or ``embedded``, as records say it."""
    classes: tuple[str, ...]
    breaker: CircuitBreaker = field(default_factory=_breaker)
    """Opens when pictures in a row got no answer by any of their tries."""
    counter: WireCounter = field(default_factory=WireCounter)
    probing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one picture that finds out whether the cloud is back."""

    async def infer(self, body: bytes, pictures: int, top: int, deadline: Deadline) -> Exchange:
        """Send a frame, wait for the answer; try again what may pass.

        Raises:
            CloudUnreachable: no connection, or it has failed so often that it is not asked now.
            CloudBusy: it has no time for this (HTTP 429, 502, 503).
            CloudLate: no answer before the deadline, or the frame was too long on its way (HTTP 408).
            CloudRefused: another error, with the cloud's own words.
            CloudAnswerInvalid: what answered does not speak Splitwire, or not of these pictures.

        """

        def too_late(state: RetryCallState) -> bool:
            return state.upcoming_sleep + _LEAST_TRY_SECONDS > deadline.left()

        retrying = AsyncRetrying(retry=retry_if_exception(_may_pass), wait=_wait, stop=too_late, reraise=True)
        tries: list[int | None] = []
        async with self._permission():
            exchange: Exchange = await retrying(self._ask, body, pictures, top, deadline, tries)
        known = [size for size in tries if size is not None]
        return replace(exchange, wire_bytes=sum(known) if len(known) == len(tries) else None)

    @asynccontextmanager
    async def _permission(self) -> AsyncIterator[None]:
        probe = self.breaker.state == STATE_HALF_OPEN
        if self.breaker.opened or (probe and self.probing.locked()):
            wait = max(0, self.breaker.open_remaining)
            raise CloudUnreachable(
                self.url, f"{_FAILURES_TO_OPEN} pictures in a row got no answer; asked again in {wait:.0f} s"
            )
        async with self.probing if probe else nullcontext():
            with self.breaker:
                yield

    async def _ask(
        self, body: bytes, pictures: int, top: int, deadline: Deadline, tries: list[int | None]
    ) -> Exchange:
        left, started = deadline.left(), time.monotonic()
        tries.append(None)
        try:
            async with asyncio.timeout(max(_LEAST_TRY_SECONDS, _TRY_SHARE * left)):
                request = self.client.build_request(
                    "POST",
                    "/infer",
                    params={} if top == 1 else {"top": top},
                    content=body,
                    headers={DEADLINE_HEADER: f"{1e3 * left:.0f}"},
                )
                response = await self.client.send(request, stream=True)
                try:
                    await response.aread()
                    wire = self.counter.since_last(response)
                    tries[-1] = None if wire is None else wire.bytes
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise CloudLate(
                self.url, "no answer in time; try again, or allow more with --deadline-ms"
            ) from exc
        except httpx.RequestError as exc:
            reason = str(exc) or type(exc).__name__
            raise CloudUnreachable(
                self.url, f"{reason}; is cloud-server running there, and is it http or https?"
            ) from exc
        seconds = time.monotonic() - started
        predictions, timings = self._answer(response, pictures)
        return Exchange(
            predictions=predictions, timings_ms=timings, seconds=seconds, wire=wire, wire_bytes=tries[-1]
        )

    def _answer(self, response: httpx.Response, pictures: int) -> tuple[tuple[Prediction, ...], Timings]:
        try:
            if response.status_code != httpx.codes.OK:
                raise self._refusal(response)
            if response.headers.get("Content-Type") == COMPACT:
                answer = unpack(response.content)
                found, timings = predictions(answer, self.classes), answer.timings_ms
            else:
                full = Answer.model_validate_json(response.content)
                found, timings = full.predictions, full.timings_ms
        except (ValidationError, AnswerError) as exc:
            raise CloudAnswerInvalid(
                self.url, f"HTTP {response.status_code} without a Splitwire answer; is the URL a cloud's?"
            ) from exc
        if len(found) != pictures:
            raise CloudAnswerInvalid(
                self.url, f"{len(found)} answers for {pictures} pictures; use the same release"
            )
        return found, timings

    def _refusal(self, response: httpx.Response) -> CloudError:
        status = response.status_code
        if status in _BUSY:
            return CloudBusy(self.url, status, _words(response), _retry_after(response))
        if status in _LATE:
            deadline_passed = status == httpx.codes.GATEWAY_TIMEOUT and _said(response) is not None
            return CloudLate(self.url, f"{_words(response)} (HTTP {status})", may_pass=not deadline_passed)
        return CloudRefused(self.url, status, ErrorAnswer.model_validate_json(response.content).message)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CloudError) and error.may_pass


_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE)

_LATE = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.GATEWAY_TIMEOUT)


def _said(response: httpx.Response) -> str | None:
    """Find what a cloud says of its status; None where it is not a cloud that answered."""
    try:
        return ErrorAnswer.model_validate_json(response.content).message
    except ValidationError:
        return None


def _words(response: httpx.Response) -> str:
    """Find what a cloud, or a proxy before it, says of its status."""
    return _said(response) or response.reason_phrase


def _retry_after(response: httpx.Response) -> float:
    """Seconds, given as such or as a date, that the cloud asks to be left alone; 0 where it says nothing usable."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, CloudBusy) else 0.0
    return asked + _BACK_OFF(state)


@asynccontextmanager
async def connect(settings: DeviceSettings, classes: tuple[str, ...]) -> AsyncIterator[Connection]:
    """Open the way to a cloud; without a URL, to one inside this process.

    Raises:
        SettingsError: not a URL, a key or proxy that can't be used.
        PackagesMissing: no URL, and the cloud's packages are not installed.

    """
    headers = {
        "Accept": COMPACT,
        "Content-Type": "application/octet-stream",
        **authorization(settings.key),
    }
    async with AsyncExitStack() as stack:
        transport: httpx.AsyncBaseTransport | None = None
        url, source = EMBEDDED_URL, "embedded"
        if settings.cloud is None:
            transport = await stack.enter_async_context(embedded_cloud(settings.bundle))
        else:
            url, source = checked_url(settings.cloud), "cloud"
        # every try has a time-out of its own
        client = open_client(httpx.AsyncClient, url, headers=headers, timeout=None, transport=transport)
        for name in _NEEDLESS_HEADERS:
            del client.headers[name]
        await stack.enter_async_context(client)
        yield Connection(client=client, url=url, source=source, classes=classes)


def open_client(kind: type[AnyClient], url: str, **options: Any) -> AnyClient:  # noqa: ANN401 - httpx's
    """Build a client for one cloud; on this machine no proxy is asked.

    Raises:
        SettingsError: a proxy of the environment can't be used.

    """
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=_IDLE_SECONDS)
    try:
        return kind(
            base_url=url, limits=limits, trust_env=httpx.URL(url).host not in _NEVER_BY_PROXY, **options
        )
    except (ImportError, ValueError) as exc:
        raise SettingsError(f"the way to {url} can't be used ({exc}); check the proxy variables") from exc


def authorization(key: str | None) -> dict[str, str]:
    """Build the header that shows an API key; none without one.

    Raises:
        SettingsError: the key has characters that no key has.

    """
    if not key:
        return {}
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("the API key has characters that no key has; copy it again")
    return {"Authorization": f"Bearer {key}"}


def checked_url(url: str) -> str:
    """Check a cloud's URL.

    Raises:
        SettingsError: it is not one.

    """
    try:
        parsed = httpx.URL(url)
        usable = (
            parsed.scheme in {"http", "https"}
            and parsed.host
            and (parsed.port or 1) < 1 << 16
            and not parsed.query
            and not parsed.path.rstrip("/").endswith("/infer")
        )
    except (httpx.InvalidURL, UnicodeError):
        usable = False
    if not usable:
        raise SettingsError(f"--cloud {url!r} is not a cloud's URL; write http://host:port")
    return url
