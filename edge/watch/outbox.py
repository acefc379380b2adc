"""The outbox of a watched folder: a SQLite file with one row a picture, by its content.

    ──add───> waiting ──settle──> answered          for ever
               ^    └───settle──> set aside ─┐
               └──────────release────────────┘      at a start, or with another bundle
    ──fail──> failed                                for ever: the content is no picture
    ──fail──> set aside, without a code             until its file is touched: decoding it costs too much
    waiting ──forgo──> the same                     it can't be encoded again

Before a content is decoded, that is written down; a try that never ended has ended the program.

A result is committed before it is reported. One that was perhaps not reported is reported again.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from splitwire.edge.results import Encoded, from_line, to_line
from splitwire.edge.watch.outbox_file import OutboxFile, opened
from splitwire.shared.errors import shown

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from splitwire.edge.results import Result
    from splitwire.edge.watch.folder import Seen

State = Literal["waiting", "answered", "failed", "set aside"]
_RELEASABLE = "state = 'set aside' AND encoded IS NOT NULL"
_AVOIDED = "state = 'set aside' AND encoded IS NULL"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A picture without an answer. ``path``: as results show it. ``attempts``: so far."""

    sha256: str
    path: str
    encoded: Encoded
    attempts: int


def digest(data: bytes) -> str:
    """Name a picture by its file's content."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def open_outbox(path: Path, lock_seconds: float = 5) -> Iterator[Outbox]:
    """Open an outbox, or make one; until it is closed no other watcher can.

    ``lock_seconds``: how long to wait for another program that locks it.

    Raises:
        OutboxForeign: the file is something else, or a newer release's.
        OutboxHeld: another program has it.
        OutboxError: it can't be read or written.

    """
    with opened(path, lock_seconds) as connection:
        yield Outbox(path, connection)


class Outbox(OutboxFile):
    """An open outbox. Every method may raise OutboxError; what it returned from is on the disk."""

    def knows(self, seen: Seen) -> bool:
        """Whether this file, as it is, belongs to a picture."""
        query = "SELECT 1 FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        return bool(self._all(query, _stored(seen.path), seen.size, seen.mtime_ns, seen.ctime_ns))

    def has(self, sha256: str) -> bool:
        """Whether there is a picture of this content, and it need not be tried again."""
        return bool(self._all(f"SELECT 1 FROM pictures WHERE sha256 = ? AND NOT ({_AVOIDED})", sha256))  # noqa: S608

    def begin(self, sha256: str) -> int:
        """Note that a content is about to be decoded; return how many tries have not ended, this one included.

        A power cut may undo that: it ends the program for another reason.
        """
        with self._transaction(durable=False) as do:
            do.execute("INSERT OR IGNORE INTO tries (sha256, times) VALUES (?, 0)", (sha256,))
            do.execute("UPDATE tries SET times = times + 1 WHERE sha256 = ?", (sha256,))
        return int(self._all("SELECT times FROM tries WHERE sha256 = ?", sha256)[0][0])

    def end(self, sha256: str) -> None:
        """Note that all tries of a content have ended."""
        with self._transaction(durable=False) as do:
            _end(do, sha256)

    def add(self, seen: Seen, sha256: str, fingerprint: int, encoded: Encoded) -> None:
        """Begin to wait for a picture's answer."""
        with self._transaction() as do:
            do.execute(f"DELETE FROM pictures WHERE sha256 = ? AND {_AVOIDED}", (sha256,))  # noqa: S608
            do.execute(
                "INSERT INTO pictures (sha256, path, state, first_seen, fingerprint, encoded)"
                " VALUES (?, ?, 'waiting', ?, ?, ?)",
                (sha256, shown(seen.path), _now(), fingerprint, encoded.model_dump_json()),
            )
            _place(do, seen, sha256)

    def place(self, seen: Seen, sha256: str) -> None:
        """Note that a picture which is known lies here too."""
        with self._transaction() as do:
            _place(do, seen, sha256)

    def fail(self, seen: Seen, sha256: str, result: Result, *, costly: bool = False) -> None:
        """Note that a file is no picture, or costs too much to be tried again as long as it is not touched."""
        with self._transaction() as do:
            do.execute(f"DELETE FROM pictures WHERE sha256 = ? AND {_AVOIDED}", (sha256,))  # noqa: S608
            do.execute(
                "INSERT INTO pictures (sha256, path, state, first_seen, settled, record)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (sha256, result.path, "set aside" if costly else "failed", _now(), _now(), to_line(result)),
            )
            _place(do, seen, sha256)
            _end(do, sha256)

    def forgo(self, sha256: str, result: Result) -> None:
        """Note that a picture that waits costs too much to be encoded again, as long as it is not touched."""
        with self._transaction() as do:
            do.execute(
                "UPDATE pictures SET state = 'set aside', record = ?, settled = ?, said = 0, encoded = NULL"
                " WHERE sha256 = ? AND state = 'waiting'",
                (to_line(result), _now(), sha256),
            )
            _end(do, sha256)

    def waiting(self, fingerprint: int, limit: int) -> list[Waiting]:
        """Give pictures to send: those with the fewest attempts first, of them the oldest."""
        return self._waiting("fingerprint = ?", fingerprint, limit)

    def outdated(self, fingerprint: int) -> list[Waiting]:
        """Give the pictures that wait with a code for something other than the fingerprint."""
        return self._waiting("fingerprint != ?", fingerprint, -1)

    def encode_again(self, sha256: str, fingerprint: int, encoded: Encoded) -> None:
        """Replace the code of a picture that waits."""
        with self._transaction() as do:
            do.execute(
                "UPDATE pictures SET fingerprint = ?, encoded = ? WHERE sha256 = ? AND state = 'waiting'",
                (fingerprint, encoded.model_dump_json(), sha256),
            )

    def paths(self, sha256: str) -> list[Path]:
        """List where a picture was seen."""
        rows = self._all("SELECT path FROM files WHERE sha256 = ?", sha256)
        return [Path(os.fsdecode(path)) for (path,) in rows]

    def settle(self, state: State, results: Mapping[str, Result]) -> None:
        """Write the results of an attempt, by SHA-256. Only pictures that wait can get one."""
        settled = None if state == "waiting" else _now()
        with self._transaction() as do:
            do.executemany(
                "UPDATE pictures SET state = ?1, record = ?2, settled = ?3, said = 0, attempts = attempts + 1,"
                " encoded = CASE ?1 WHEN 'answered' THEN NULL ELSE encoded END"
                " WHERE sha256 = ?4 AND state = 'waiting'",
                [(state, to_line(result), settled, sha256) for sha256, result in results.items()],
            )

    def release(self) -> None:
        """Let the pictures that were set aside wait again, those with a code."""
        with self._transaction() as do:
            do.execute(f"UPDATE pictures SET state = 'waiting', settled = NULL WHERE {_RELEASABLE}")  # noqa: S608

    def releasable(self) -> bool:
        """Whether pictures are set aside that could wait again."""
        return bool(self._all(f"SELECT 1 FROM pictures WHERE {_RELEASABLE} LIMIT 1"))  # noqa: S608

    def unsaid(self) -> dict[str, Result]:
        """Give the results that were perhaps not reported, by SHA-256, in the order of settling."""
        query = "SELECT sha256, record FROM pictures WHERE settled IS NOT NULL AND NOT said ORDER BY settled"
        return {sha256: from_line(line) for sha256, line in self._all(query)}

    def report(self, say: Callable[[Result], None]) -> None:
        """Report every result that was committed; if the process ends meanwhile, the next one does it again."""
        if unsaid := self.unsaid():
            for result in unsaid.values():
                say(result)
            self.said(unsaid)

    def said(self, sha256s: Iterable[str]) -> None:
        """Note that pictures were reported."""
        with self._transaction() as do:
            do.executemany("UPDATE pictures SET said = 1 WHERE sha256 = ?", [(each,) for each in sha256s])

    def _waiting(self, condition: str, fingerprint: int, limit: int) -> list[Waiting]:
        query = (
            "SELECT sha256, path, encoded, attempts FROM pictures"  # noqa: S608 - the condition is one of two
            f" WHERE state = 'waiting' AND {condition} ORDER BY attempts, rowid LIMIT ?"
        )
        return [
            Waiting(sha256=sha256, path=path, encoded=Encoded.model_validate_json(encoded), attempts=attempts)
            for sha256, path, encoded, attempts in self._all(query, fingerprint, limit)
        ]


def _place(do: sqlite3.Connection, seen: Seen, sha256: str) -> None:
    do.execute(
        "INSERT OR REPLACE INTO files (path, size, mtime_ns, ctime_ns, sha256) VALUES (?, ?, ?, ?, ?)",
        (_stored(seen.path), seen.size, seen.mtime_ns, seen.ctime_ns, sha256),
    )


def _end(do: sqlite3.Connection, sha256: str) -> None:
    do.execute("DELETE FROM tries WHERE sha256 = ?", (sha256,))


def _stored(path: Path) -> str | bytes:
    try:
        path.as_posix().encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return str(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
