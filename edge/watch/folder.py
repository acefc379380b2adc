"""Which files of a folder are complete: unchanged over two looks.

Looks are made when the system says that something changed, and now and then anyway, since network shares
say nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import awatch

from splitwire.edge.files import files_below
from splitwire.edge.watch.outbox_file import COMPANIONS
from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.pictures.names import may_be_picture

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

_UNFINISHED = ("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp")
"""How names end that programs give to files which they are still writing."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A file as one look found it; times in nanoseconds.

    ``ctime_ns`` counts changes of permissions too: a file that could not be read is looked at again then.
    """

    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int


class Folder:
    """The files below a folder that may be pictures by their names: none that is hidden, unfinished or the outbox's.

    ``settle``: seconds between two looks at a file that may be incomplete. ``poll``: seconds between looks
    when nothing seems to happen. ``notice`` is told once of each subfolder that can't be read, and
    of files that are left alone for their names.
    """

    def __init__(
        self,
        path: Path,
        outbox: Path,
        *,
        settle: float,
        poll: float,
        notice: Callable[[str], None],
    ) -> None:
        self._path = path
        self._outbox = {outbox.name, *(outbox.name + companion for companion in COMPANIONS)}
        self._settle = settle
        self._poll = poll
        self._notice = notice
        self._noticed: set[Path] = set()
        self._passed_over = False
        self._last: set[Seen] = set()
        self._done: set[Seen] = set()

    @property
    def pending(self) -> bool:
        """Whether the last look found files that are not done."""
        return not self._last <= self._done

    def done(self, seen: Seen) -> None:
        """Leave a file alone until it changes."""
        self._done.add(seen)

    async def looks(self) -> AsyncGenerator[list[Seen], None]:
        """Look for ever; give each time what is complete and not done, the oldest first.

        Raises:
            SettingsError: the folder can't be read.

        """
        changed = asyncio.Event()
        listening = asyncio.create_task(self._listen(changed))
        try:
            while True:
                changed.clear()
                yield await asyncio.to_thread(self._look)
                if self.pending:
                    await asyncio.sleep(self._settle)
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), self._poll)
        finally:
            listening.cancel()

    async def _listen(self, changed: asyncio.Event) -> None:
        with suppress(OSError, RuntimeError):  # no events to be had here: looks now and then must do
            async for _ in awatch(
                self._path,
                watch_filter=lambda _, path: self._concerns(Path(path).name),
                debounce=200,
                ignore_permission_denied=True,
            ):
                changed.set()

    def _look(self) -> list[Seen]:
        try:
            files = list(files_below(self._path, self._concerns, self._unreadable))
        except OSError as exc:
            raise SettingsError(f"folder {shown(self._path)} can't be read ({exc.strerror})") from exc
        found = {
            Seen(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)
            for path, status in files
            if may_be_picture(path.name)
        }
        if len(found) < len(files) and not self._passed_over:
            self._passed_over = True
            self._notice("files that are not named as pictures are left alone")
        self._done &= found
        complete = (found & self._last) - self._done
        self._last = found
        return sorted(complete, key=lambda seen: (seen.mtime_ns, seen.path))

    def _unreadable(self, path: Path, error: OSError) -> None:
        if path not in self._noticed:
            self._noticed.add(path)
            self._notice(f"{shown(path)} can't be read ({error.strerror})")

    def _concerns(self, name: str) -> bool:
        """Tell by its name whether to look at a file or subfolder."""
        unfinished = name.lower().endswith(_UNFINISHED)
        return not (unfinished or name.startswith(".") or name in self._outbox)
