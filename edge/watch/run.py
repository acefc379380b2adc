"""Watches a folder: two tasks that meet in the outbox only.

    folder ──intake──> code ──> outbox <──answers── cloud
                                   └──report──> said

Whenever and however the process ends, what is in the outbox is enough to go on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from splitwire.edge.compute.coder import AUTO
from splitwire.edge.errors import FallbackMissing
from splitwire.edge.pipeline import open_pipeline
from splitwire.edge.watch.answers import Answers, BundleChanged, Pace
from splitwire.edge.watch.folder import Folder
from splitwire.edge.watch.intake import Intake
from splitwire.edge.watch.outbox import open_outbox
from splitwire.shared.errors import SettingsError, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from splitwire.edge.results import Result
    from splitwire.edge.settings import WatchSettings
    from splitwire.edge.watch.outbox import Outbox


async def watch(
    folder: Path,
    settings: WatchSettings,
    say: Callable[[Result], None],
    notice: Callable[[str], None],
    pace: Pace = Pace(),
) -> None:
    """Watch a folder (an absolute path): for ever, or until everything in it has an answer.

    ``say`` gets each picture's result after it was committed, ``notice`` what is worth knowing besides.

    Raises:
        OutboxError: the outbox can't be kept.
        CloudRefused: the cloud takes nothing from this device, because of its key or URL.
        SettingsError: the folder can't be read, the cloud's URL is not one, or the quality is auto.
        BundleError: the bundle can't be used.
        PackagesMissing: the head's or the embedded cloud's packages are not installed.

    """
    if settings.quality == AUTO:
        raise SettingsError("watch keeps the code of every picture that waits; name a quality, not auto")
    place = settings.outbox or folder / ".splitwire.sqlite"
    looking = Folder(folder, place, settle=settings.settle, poll=settings.poll, notice=notice)
    with open_outbox(place, pace.lock) as outbox:
        while True:
            async with open_pipeline(settings) as pipeline:
                if settings.fallback and not pipeline.manifest.fallback:
                    raise FallbackMissing(settings.bundle, "--fallback")
                answers = Answers(pipeline, outbox, say, notice, pace)
                intake = Intake(settings, pipeline, looking, outbox, say, answers.more)
                outbox.report(say)
                outbox.release()
                try:
                    await _guarded(intake, answers, outbox, pace.guard)
                except BundleChanged:
                    notice(
                        f"the model bundle {shown(settings.bundle)} has changed; going on with the new one"
                    )
                else:
                    return


async def _guarded(intake: Intake, answers: Answers, outbox: Outbox, seconds: float) -> None:
    """Run both until there is nothing to do; look every few ``seconds`` whether the outbox is where it was."""

    async def take_in() -> None:
        await intake.run()
        answers.no_more()

    async def guard() -> None:
        while True:
            await asyncio.sleep(seconds)
            outbox.check()

    parts = asyncio.create_task(take_in()), asyncio.create_task(answers.run())
    working, guarding = asyncio.gather(*parts), asyncio.create_task(guard())
    try:
        await asyncio.wait((working, guarding), return_when=asyncio.FIRST_COMPLETED)
        await (guarding if guarding.done() else working)
    except SettingsError:
        outbox.check()  # the folder may have gone with it
        raise
    finally:
        for task in (*parts, working, guarding):
            task.cancel()
        await asyncio.gather(*parts, working, guarding, return_exceptions=True)
