"""Gets answers for the pictures that wait in the journal, through outages and refusals.

Pictures are sent in bursts, a frame each: one picture first, then twice as many each time while the cloud answers,
and one again when it does not. A link that is too slow for many together is so found out.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import CloudError, CloudRefused
from splitwire.edge.records import Record, problem
from splitwire.shared.bundle import load_bundle, load_manifest
from splitwire.shared.errors import BundleError
from splitwire.shared.frame import MAX_PICTURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from splitwire.edge.pipeline import Classifier
    from splitwire.edge.watch.outbox import Journal, Waiting
    from splitwire.edge.watch.reports import Reports

_BACK_OFF = wait_random_exponential(multiplier=0.5, max=30)
"""Seconds between bursts in an outage; each burst has a picture's deadline for its own tries."""
_NEEDS_SOMEBODY = (401, 403, 404, 405)
"""Refusals that every picture would get until somebody changes the settings."""
_OTHER_BUNDLE = 409
_FAILED = 500
_ATTEMPTS = 5
"""After so many of them, a picture on which the cloud fails is set aside."""
_BUNDLE_SECONDS = 5
"""How often the bundle is looked at while pictures are set aside."""


class BundleChanged(Exception):
    """On the disk there is another bundle than the one in use."""


class Answers:
    """Asks with one bundle; ``notice`` is told of the beginning and the end of an outage."""

    def __init__(
        self, classifier: Classifier, journal: Journal, reports: Reports, notice: Callable[[str], None]
    ) -> None:
        self._classifier = classifier
        self._fingerprint = classifier.manifest.fingerprint(classifier.coder.quality)
        self._journal = journal
        self._reports = reports
        self._notice = notice
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
            OutboxError: the record can't be kept.
            CloudRefused: the cloud takes nothing from this device, because of its key or URL.
            BundleChanged: the cloud does not know the bundle in use, and on the disk is another one.

        """
        retrying = AsyncRetrying(retry=retry_if_exception(_may_pass), wait=_BACK_OFF)
        while True:
            self._changed.clear()
            aside = self._journal.releasable()
            if aside and self._bundle_changed():
                raise BundleChanged
            if self._journal.waiting(self._fingerprint, 1):
                await retrying(self._send)
            elif self._complete:
                return
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _BUNDLE_SECONDS if aside else None)

    async def _send(self) -> None:
        burst = self._journal.waiting(self._fingerprint, self._burst)
        deadline = Deadline.after(self._classifier.settings.deadline_ms / 1e3)
        answering = [
            asyncio.create_task(self._classifier.answer(picture.path, picture.encoded, deadline))
            for picture in burst
        ]
        await asyncio.sleep(0)  # let them enter the sender's queue
        self._classifier.sender.flush()
        answers = await asyncio.gather(*answering, return_exceptions=True)
        records: dict[str, Record] = {}
        unanswered: list[Waiting] = []
        errors: list[BaseException] = []
        for picture, answer in zip(burst, answers, strict=True):
            if isinstance(answer, Record):
                records[picture.sha256] = answer
            else:
                unanswered.append(picture)
                errors.append(answer)
        self._journal.settle("answered", records)
        self._reports.catch_up()
        if errors:
            self._fail(unanswered, errors[0])
        else:
            self._succeed(records.values())

    def _succeed(self, records: Iterable[Record]) -> None:
        fell_back = any(record.source == "device" and record.body_bytes is None for record in records)
        self._burst = 1 if fell_back else min(MAX_PICTURES, 2 * self._burst)
        if all(record.source == "device" for record in records):
            return
        if self._outage:
            self._outage = False
            self._notice("the cloud answers again")
        if self._refused:  # it has another bundle by now
            self._refused = False
            self._journal.release()

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
            self._write("set aside", pictures, error)
            return
        self._write("waiting", pictures, error)
        if _may_pass(error):
            if not self._outage:
                self._outage = True
                self._notice(f"{error}; pictures wait until it answers")
            raise error

    def _write(
        self, state: Literal["waiting", "set aside"], pictures: list[Waiting], error: CloudError
    ) -> None:
        said = problem(error)
        if state == "set aside":
            said = said.model_copy(update={"message": f"set aside: {error}"})
        records = {
            picture.sha256: Record(
                path=picture.path,
                quality=picture.encoded.quality,
                payload_bytes=len(picture.encoded.payload),
                source=self._classifier.sender.source,
                timings_ms=picture.encoded.timings_ms,
                error=said,
            )
            for picture in pictures
        }
        self._journal.settle(state, records)
        self._reports.catch_up()

    def _bundle_changed(self) -> bool:
        path = self._classifier.settings.bundle
        try:
            if load_manifest(path) == self._classifier.manifest:
                return False
            load_bundle(path, "device")
        except BundleError:  # it is being replaced just now
            return False
        return True


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, CloudRefused):
        return error.status == _FAILED
    return isinstance(error, CloudError)


def _lasting(error: CloudError, picture: Waiting) -> bool:
    """Tell whether the cloud refuses this picture, not everything."""
    if not isinstance(error, CloudRefused):
        return False
    return error.status != _FAILED or picture.attempts + 1 >= _ATTEMPTS
