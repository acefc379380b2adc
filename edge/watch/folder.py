"""Which files of a folder are complete: unchanged over two looks.

Looks are made when the system says that something changed, and now and then anyway, since network shares
say nothing.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import awatch

from splitwire.edge.watch.outbox_file import COMPANIONS
from splitwire.shared.errors import SettingsError, shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

_UNFINISHED = ("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp")
"""How names end that programs give to files which they are still writing."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A file as one look found it; times in nanoseconds.

    The time of the last change to its permissions counts too: a file that could not be read is new then.
    """

    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def at(cls, path: Path, status: os.stat_result) -> Seen:
        """Take what matters of a file's status."""
        return cls(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)


class Folder:
    """The files below a folder, but for hidden ones, unfinished ones and those of the record.

    ``settle_seconds``: between two looks at a file that may be incomplete. ``poll_seconds``: between looks
    when nothing seems to happen. ``notice`` is told of each subfolder that can't be read, once.
    """

    def __init__(
        self,
        path: Path,
        record: Path,
        *,
        settle_seconds: float,
        poll_seconds: float,
        notice: Callable[[str], None],
    ) -> None:
        self._path = path
        self._records = {record.name, *(record.name + companion for companion in COMPANIONS)}
        self._settle_seconds = settle_seconds
        self._poll_seconds = poll_seconds
        self._notice = notice
        self._noticed: set[Path] = set()
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
                    await asyncio.sleep(self._settle_seconds)
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), self._poll_seconds)
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
            found = set(self._files(self._path))
        except OSError as exc:
            raise SettingsError(f"folder {shown(self._path)} can't be read ({exc.strerror})") from exc
        self._done &= found
        complete = (found & self._last) - self._done
        self._last = found
        return sorted(complete, key=lambda seen: (seen.mtime_ns, seen.path))

    def _files(self, folder: Path) -> Iterator[Seen]:
        below: list[Path] = []
        yield from self._files_in(folder, below)
        while below:
            subfolder = below.pop()
            with self._noticing(subfolder):
                yield from self._files_in(subfolder, below)

    def _files_in(self, folder: Path, below: list[Path]) -> Iterator[Seen]:
        """Look at one folder; its subfolders are added to ``below``, since they may be nested without end."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if not self._concerns(entry.name):
                    continue
                path = folder / entry.name
                with self._noticing(path):
                    if entry.is_dir(follow_symlinks=False):
                        below.append(path)
                    elif entry.is_file():
                        yield Seen.at(path, entry.stat())

    @contextmanager
    def _noticing(self, path: Path) -> Iterator[None]:
        """Say what can't be read, once; what has gone meanwhile is nothing to say."""
        try:
            yield
        except FileNotFoundError:
            pass
        except OSError as exc:
            if path not in self._noticed:
                self._noticed.add(path)
                self._notice(f"{shown(path)} can't be read ({exc.strerror})")

    def _concerns(self, name: str) -> bool:
        """Tell by its name whether a file or subfolder is one to look at."""
        unfinished = name.lower().endswith(_UNFINISHED)
        return not (unfinished or name.startswith(".") or name in self._records)
