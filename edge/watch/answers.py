"""Gets answers for the pictures that wait in the outbox, through outages and refusals.

Pictures are sent in bursts, a frame each: one picture first, then twice as many each time while the cloud answers,
and one again when it does not. So a link that is too slow for many at once is found out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import httpx
from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

from splitwire.edge.errors import CloudError, CloudRefused
from splitwire.edge.results import Answered, failed
from splitwire.shared.bundle import load_bundle, load_manifest
from splitwire.shared.errors import BundleError
from splitwire.shared.frame import MAX_PICTURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from splitwire.edge.pipeline import Pipeline
    from splitwire.edge.results import Result
    from splitwire.edge.watch.outbox import Outbox, Waiting

_NEEDS_SOMEBODY = (
    httpx.codes.UNAUTHORIZED,
    httpx.codes.FORBIDDEN,
    httpx.codes.NOT_FOUND,
    httpx.codes.METHOD_NOT_ALLOWED,
)
"""Refusals that every picture would get until somebody changes the settings."""
_OTHER_BUNDLE = httpx.codes.CONFLICT
_CLOUD_FAILED = httpx.codes.INTERNAL_SERVER_ERROR
_ATTEMPTS = 5
"""After so many of them, a picture on which the cloud fails is set aside."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to wait, in seconds.

    ``outage_first``, ``outage_longest``: between bursts in an outage, at random, longer each time; each burst has a
    picture's deadline for its own tries. ``bundle``: between looks at the bundle while pictures are set aside.
    ``guard``: between looks whether the outbox is still there. ``lock``: for another program that locks the outbox.
    """

    outage_first: float = 0.5
    outage_longest: float = 30
    bundle: float = 5
    guard: float = 0.5
    lock: float = 5


class BundleChanged(Exception):
    """On the disk there is another bundle than the one in use."""


class Answers:
    """Asks with one bundle.

    ``say``: reports a result. ``notice``: told of the beginning and the end of an outage.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        outbox: Outbox,
        say: Callable[[Result], None],
        notice: Callable[[str], None],
        pace: Pace,
    ) -> None:
        self._pipeline = pipeline
        self._fingerprint = pipeline.manifest.fingerprint(pipeline.coder.quality)
        self._outbox = outbox
        self._say = say
        self._notice = notice
        self._pace = pace
        self._changed = asyncio.Event()
        self._complete = False
        self._burst = 1
        self._outage = False
        self._refused = False

    def more(self) -> None:
        """Say that another picture waits."""
        self._changed.set()

    def no_more(self) -> None:
        """Say that no others will come."""
        self._complete = True
        self._changed.set()

    async def run(self) -> None:
        """Get answers until no more pictures come and none waits.

        Raises:
            OutboxError: the outbox can't be kept.
            CloudRefused: the cloud takes nothing from this device, because of its key or URL.
            BundleChanged: the cloud does not know the bundle in use, and on the disk is another one.

        """
        back_off = wait_random_exponential(multiplier=self._pace.outage_first, max=self._pace.outage_longest)
        retrying = AsyncRetrying(retry=retry_if_exception(_may_pass), wait=back_off)
        while True:
            self._changed.clear()
            aside = self._outbox.releasable()
            if aside and self._bundle_changed():
                raise BundleChanged
            if self._outbox.waiting(self._fingerprint, 1):
                await retrying(self._send)
            elif self._complete:
                return
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._pace.bundle if aside else None)

    async def _send(self) -> None:
        burst = self._outbox.waiting(self._fingerprint, self._burst)
        pictures = [(picture.path, picture.encoded) for picture in burst]
        answers = await self._pipeline.send(pictures, self._pipeline.deadline())
        answered: dict[str, Answered] = {}
        unanswered: list[Waiting] = []
        errors: list[BaseException] = []
        for picture, answer in zip(burst, answers, strict=True):
            if isinstance(answer, Answered):
                answered[picture.sha256] = answer
            else:
                unanswered.append(picture)
                errors.append(answer)
        self._outbox.settle("answered", answered)
        self._outbox.report(self._say)
        if errors:
            self._fail(unanswered, errors[0])
        else:
            self._succeed(answered.values())

    def _succeed(self, answers: Iterable[Answered]) -> None:
        fell_back = any(answer.source == "device" and answer.body_bytes is None for answer in answers)
        self._burst = 1 if fell_back else min(MAX_PICTURES, 2 * self._burst)
        if all(answer.source == "device" for answer in answers):
            return
        if self._outage:
            self._outage = False
            self._notice("the cloud answers again")
        if self._refused:  # it has another bundle by now
            self._refused = False
            self._outbox.release()

    def _fail(self, pictures: list[Waiting], error: BaseException) -> None:
        """Leave pictures waiting, or set them aside; raise what concerns more than them."""
        if not isinstance(error, CloudError):
            raise error
        status = error.status if isinstance(error, CloudRefused) else None
        if status in _NEEDS_SOMEBODY:
            raise error
        self._burst = 1
        if status == _OTHER_BUNDLE:
            if self._bundle_changed():
                raise BundleChanged
            self._refused = True
        if status == _OTHER_BUNDLE or (len(pictures) == 1 and _lasting(error, pictures[0])):
            self._write("set aside", pictures, error, f"set aside: {error}")
            return
        self._write("waiting", pictures, error, str(error))
        if _may_pass(error):
            if not self._outage:
                self._outage = True
                self._notice(f"{error}; pictures wait until it answers")
            raise error

    def _write(
        self, state: Literal["waiting", "set aside"], pictures: list[Waiting], error: CloudError, message: str
    ) -> None:
        source = self._pipeline.sender.source
        results = {
            each.sha256: failed(each.path, error, each.encoded, source=source, message=message)
            for each in pictures
        }
        self._outbox.settle(state, results)
        self._outbox.report(self._say)

    def _bundle_changed(self) -> bool:
        path = self._pipeline.settings.bundle
        try:
            if load_manifest(path) == self._pipeline.manifest:
                return False
            load_bundle(path, "device")
        except BundleError:  # it is being replaced just now
            return False
        return True


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, CloudRefused):
        return error.status == _CLOUD_FAILED
    return isinstance(error, CloudError)


def _lasting(error: CloudError, picture: Waiting) -> bool:
    """Tell whether the cloud refuses this picture, not everything."""
    if not isinstance(error, CloudRefused):
        return False
    return error.status != _CLOUD_FAILED or picture.attempts + 1 >= _ATTEMPTS
