"""Watches a folder: two tasks that meet in the journal only.

    folder ──intake──> code ──> journal <──answers── cloud
                                   └──reports──> said

Whenever and however the process ends, what the journal says is enough to go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from splitwire.edge.compute.coder import AUTO
from splitwire.edge.errors import FallbackMissing
from splitwire.edge.pipeline import open_classifier
from splitwire.edge.watch.answers import Answers, BundleChanged
from splitwire.edge.watch.folder import Folder
from splitwire.edge.watch.intake import Intake
from splitwire.edge.watch.outbox import Journal, open_journal
from splitwire.edge.watch.reports import Reports
from splitwire.shared.errors import SettingsError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from splitwire.edge.records import Record
    from splitwire.edge.settings import DeviceSettings, WatchSettings


_GUARD_SECONDS = 0.5
"""Between looks whether the record is still there."""


async def watch(
    device: DeviceSettings,
    settings: WatchSettings,
    say: Callable[[Record], None],
    notice: Callable[[str], None],
) -> int:
    """Watch a folder: for ever, or until everything in it has an answer.

    ``say`` gets each picture's record after it was committed, ``notice`` what is worth knowing besides.

    Returns:
        The exit code: the first failure's, 0 without any.

    Raises:
        OutboxError: the record can't be kept.
        CloudRefused: the cloud takes nothing from this device, because of its key or URL.
        SettingsError: the folder can't be read, the cloud's URL is not one, or no quality is named.
        BundleError: the bundle can't be used.
        PackagesMissing: the head's or the embedded cloud's packages are not installed.

    """
    if device.quality == AUTO:
        raise SettingsError("watch keeps the code of every picture that waits; name a quality, not auto")
    path = settings.folder.absolute()
    record = settings.record or path / ".splitwire.sqlite"
    folder = Folder(
        path,
        record,
        settle_seconds=settings.settle_seconds,
        poll_seconds=settings.poll_seconds,
        notice=notice,
    )
    with open_journal(record) as journal:
        reports = Reports(journal, say)
        while True:
            async with open_classifier(device) as classifier:
                if device.fallback and classifier.fallback is None:
                    raise FallbackMissing(device.bundle, "--fallback")
                answers = Answers(classifier, journal, reports, notice)
                intake = Intake(settings, classifier, folder, journal, reports, answers.more)
                reports.catch_up()
                journal.release()
                try:
                    await _guarded(intake, answers, journal)
                except BundleChanged:
                    notice(f"the model bundle {shown(device.bundle)} has changed; going on with the new one")
                else:
                    return reports.exit_code


async def _guarded(intake: Intake, answers: Answers, journal: Journal) -> None:
    """Run both until there is nothing to do, as long as the record is where it was."""
    tasks = working, guarding = (
        asyncio.create_task(_both(intake, answers)),
        asyncio.create_task(_guard(journal)),
    )
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await (guarding if guarding in done else working)
    except SettingsError:
        journal.check()  # the folder may have gone with it
        raise
    finally:
        await _cancel(*tasks)


async def _both(intake: Intake, answers: Answers) -> None:
    async def take_in() -> None:
        await intake.run()
        answers.no_more()

    tasks = asyncio.create_task(take_in()), asyncio.create_task(answers.run())
    try:
        await asyncio.gather(*tasks)
    finally:
        await _cancel(*tasks)


async def _guard(journal: Journal) -> None:
    while True:
        await asyncio.sleep(_GUARD_SECONDS)
        journal.check()


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
