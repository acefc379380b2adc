"""The way to a cloud, and what comes back.

A try that fails for a reason that may pass is made again, while the picture's deadline allows. A cloud
that failed several times in a row is not asked again for a while.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import httpx
from circuitbreaker import STATE_HALF_OPEN, CircuitBreaker
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from splitwire.edge.errors import CloudBusy, CloudError, CloudLate, CloudUnreachable
from splitwire.edge.network.address import address, open_client
from splitwire.edge.network.embedded import URL as EMBEDDED_URL
from splitwire.edge.network.embedded import embedded_cloud
from splitwire.edge.network.exceptions import map_exceptions
from splitwire.edge.network.response import longest_answer, read, read_answer
from splitwire.edge.network.wire import Wire, WireCounter
from splitwire.shared.answer import CONTENT_TYPE as COMPACT
from splitwire.shared.messages import DEADLINE_HEADER, OCTETS, Prediction, Timings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from splitwire.edge.deadline import Deadline
    from splitwire.edge.settings import DeviceSettings

_TRY_SHARE = 0.7
"""How much of what is left a try may take, so that another one can follow."""
_LEAST_TRY_SECONDS = 0.02
_BACK_OFF = wait_random_exponential(multiplier=0.1, max=2)
_FAILURES_TO_OPEN = 3
_LATE = "no answer in time; try again, or allow more with --deadline-ms"
_UNREACHABLE = "is cloud-server running there, and is it http or https?"


def breaker(seconds: float = 5) -> CircuitBreaker:
    """Stop asking a cloud for some seconds, when pictures in a row got no answer by any of their tries."""

    def counts(_: type[BaseException], error: BaseException) -> bool:
        return isinstance(error, CloudError) and error.may_pass and not isinstance(error, CloudBusy)

    return CircuitBreaker(
        failure_threshold=_FAILURES_TO_OPEN, recovery_timeout=seconds, expected_exception=counts
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
    source: Literal["cloud", "embedded"]
    classes: tuple[str, ...]
    breaker: CircuitBreaker = field(default_factory=breaker)
    counter: WireCounter = field(default_factory=WireCounter)
    probing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one picture that finds out whether the cloud is back."""

    async def infer(self, body: bytes, pictures: int, top: int, deadline: Deadline) -> Exchange:
        """Send a frame, wait for the answer; try again what may pass.

        Raises:
            CloudUnreachable: no connection, or it was cut; something before the cloud failed (HTTP 5xx without
                a cloud's words); or it has failed so often that it is not asked now.
            CloudBusy: it has no time for this (HTTP 429, 502, 503).
            CloudLate: no answer before the deadline, or the frame was too long on its way (HTTP 408).
            CloudRefused: another error, with the cloud's own words.
            CloudAnswerInvalid: what answered does not speak Splitwire, or not of these pictures.

        """

        def too_late(state: RetryCallState) -> bool:
            return state.upcoming_sleep + _LEAST_TRY_SECONDS > deadline.left()

        failures: list[BaseException] = []

        def remember(state: RetryCallState) -> None:
            if error := _error(state):
                failures.append(error)

        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=_wait,
            stop=too_late,
            before_sleep=remember,
            reraise=True,
        )
        tries: list[int | None] = []
        async with self._permission():
            try:
                exchange: Exchange = await retrying(self._ask, body, pictures, top, deadline, tries)
            except CloudLate:
                if failures:  # The deadline cut this try short: why the one before it failed says more.
                    raise failures[-1] from None
                raise
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
        request = self.client.build_request(
            "POST",
            "/infer",
            params={} if top == 1 else {"top": top},
            content=body,
            headers={DEADLINE_HEADER: f"{1e3 * left:.0f}"},
        )
        with map_exceptions(self.url, late=_LATE, unreachable=_UNREACHABLE):
            async with asyncio.timeout(max(_LEAST_TRY_SECONDS, _TRY_SHARE * left)):
                response = await self.client.send(request, stream=True)
                try:
                    answer = await read(self.url, response, longest_answer(pictures, top, self.classes))
                    wire = self.counter.since_last(response)
                    tries[-1] = None if wire is None else wire.bytes
                finally:
                    await response.aclose()
        seconds = time.monotonic() - started
        predictions, timings = read_answer(
            self.url, response, answer, pictures=pictures, top=top, classes=self.classes
        )
        return Exchange(
            predictions=predictions, timings_ms=timings, seconds=seconds, wire=wire, wire_bytes=tries[-1]
        )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CloudError) and error.may_pass


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _wait(state: RetryCallState) -> float:
    error = _error(state)
    asked = error.retry_after if isinstance(error, CloudBusy) else 0.0
    return asked + _BACK_OFF(state)


@asynccontextmanager
async def connect(settings: DeviceSettings, classes: tuple[str, ...]) -> AsyncIterator[Connection]:
    """Open the way to a cloud; without a URL, to one inside this process.

    Raises:
        SettingsError: not a URL, a key or proxy that can't be used; see ``splitwire.edge.network.address``.
        PackagesMissing: no URL, and the cloud's packages are not installed.

    """
    headers = {"Accept": COMPACT, "Content-Type": OCTETS}
    cloud = address(EMBEDDED_URL if settings.cloud is None else settings.cloud, settings.key)
    embedded = nullcontext() if settings.cloud is not None else embedded_cloud(settings.bundle)
    async with embedded as transport, open_client(cloud, headers, transport) as client:
        source: Literal["cloud", "embedded"] = "embedded" if transport else "cloud"
        yield Connection(client=client, url=cloud.url, source=source, classes=classes)
