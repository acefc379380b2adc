"""Takes the complete pictures of a folder into the outbox: file ──> code, committed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from splitwire.edge.deadline import NO_DEADLINE, Deadline
from splitwire.edge.results import failed
from splitwire.edge.watch.outbox import digest
from splitwire.shared.errors import (
    LatentInvalid,
    PictureCostly,
    PictureError,
    PictureMissing,
    SplitwireError,
    shown,
)
from splitwire.shared.pictures.loading import read_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from splitwire.edge.pipeline import Pipeline
    from splitwire.edge.results import Encoded, Result
    from splitwire.edge.settings import WatchSettings
    from splitwire.edge.watch.folder import Folder, Seen
    from splitwire.edge.watch.outbox import Outbox, Waiting

_FATAL_TRIES = 2
"""A content that ended the program so often is not tried again."""


class Intake:
    """Runs the head on every content once.

    ``say``: reports a result. ``more``: called when a picture has begun to wait for its answer.
    """

    def __init__(
        self,
        settings: WatchSettings,
        pipeline: Pipeline,
        folder: Folder,
        outbox: Outbox,
        say: Callable[[Result], None],
        more: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._fingerprint = pipeline.manifest.fingerprint(pipeline.coder.quality)
        self._folder = folder
        self._outbox = outbox
        self._say = say
        self._more = more
        self._doubts: dict[Seen, Deadline] = {}
        """Files that could not be read, and when they are given up."""

    async def run(self) -> None:
        """Take pictures in, for ever or until there are no others.

        Raises:
            OutboxError: the outbox can't be kept.
            SettingsError: the folder can't be read.

        """
        for picture in self._outbox.outdated(self._fingerprint):
            await self._encode_again(picture)
        async with aclosing(self._folder.looks()) as looks:
            async for complete in looks:
                for seen in complete:
                    if await self._take(seen):
                        self._doubts.pop(seen, None)
                        self._folder.done(seen)
                if self._settings.once and not self._folder.pending:
                    return

    async def _take(self, seen: Seen) -> bool:
        """Take a file in, or give it up; False if it is to be tried again."""
        doubt = self._doubts.get(seen)
        if doubt is not None and doubt.left():
            return False
        if self._outbox.knows(seen):
            return True
        sha256 = None
        try:
            data, sha256 = await asyncio.to_thread(_read, seen.path)
            if self._outbox.has(sha256):
                self._outbox.place(seen, sha256)
                return True
            encoded = await self._encode(data, sha256, seen.path)
        except (PictureError, LatentInvalid) as exc:
            doubt = self._doubts.setdefault(seen, Deadline.after(self._settings.patience))
            if doubt.left() and not isinstance(exc, PictureCostly):
                return False  # perhaps it is still being written
            self._give_up(seen, sha256, exc)
            return True
        self._outbox.add(seen, sha256, self._fingerprint, encoded)
        self._more()
        return True

    async def _encode(self, data: bytes, sha256: str, path: Path) -> Encoded:
        """Decode, unless that ended the program before, and encode."""
        if self._outbox.begin(sha256) > _FATAL_TRIES:
            raise PictureCostly(
                path,
                f"it ended this program {_FATAL_TRIES} times, and is set aside; touch it to have it tried again",
            )
        try:
            loaded = await asyncio.to_thread(self._pipeline.load, data, str(path), NO_DEADLINE)
        finally:
            self._outbox.end(sha256)
        return await self._pipeline.encode(loaded)

    def _give_up(self, seen: Seen, sha256: str | None, error: SplitwireError) -> None:
        result = failed(shown(seen.path), error)
        if sha256 is None:
            self._say(result)  # without its content it can't have a row
            return
        self._outbox.fail(seen, sha256, result, costly=isinstance(error, PictureCostly))
        self._outbox.report(self._say)

    async def _encode_again(self, picture: Waiting) -> None:
        error: PictureError = PictureMissing(
            picture.path, "set aside: its file is gone, and its code is for another bundle"
        )
        for path in self._outbox.paths(picture.sha256):
            try:
                data, sha256 = await asyncio.to_thread(_read, path)
                if sha256 == picture.sha256:
                    encoded = await self._encode(data, sha256, path)
                    self._outbox.encode_again(sha256, self._fingerprint, encoded)
                    self._more()
                    return
            except (PictureError, LatentInvalid) as exc:
                error = exc if isinstance(exc, PictureCostly) else error
        result = failed(picture.path, error)
        if isinstance(error, PictureCostly):
            self._outbox.forgo(picture.sha256, result)
        else:
            self._outbox.settle("set aside", {picture.sha256: result})
        self._outbox.report(self._say)


def _read(path: Path) -> tuple[bytes, str]:
    data = read_file(path)
    return data, digest(data)
