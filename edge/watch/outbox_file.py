"""The SQLite file of an outbox: its tables, its lock, and what can be wrong with it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from splitwire.edge.errors import OutboxError, OutboxForeign, OutboxHeld

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_APPLICATION_ID = 0x53706C77
_VERSION = 1
LOCK = "-lock"
_KEPT = ("-wal", "-shm")
"""What SQLite has beside the file as long as it is open here, whoever else opens and closes it."""
COMPANIONS = (*_KEPT, "-journal", LOCK)
"""What is added to the file's name for the files beside it."""
_SCHEMA = (
    """
    CREATE TABLE pictures (
        sha256 TEXT PRIMARY KEY,   -- of the file's bytes
        path TEXT NOT NULL,        -- where it was seen first
        state TEXT NOT NULL CHECK (state IN ('waiting', 'answered', 'failed', 'set aside')),
        first_seen TEXT NOT NULL,  -- moments are UTC
        settled TEXT,              -- when it left the state waiting
        attempts INTEGER NOT NULL DEFAULT 0,
        said INTEGER NOT NULL DEFAULT 0,
        fingerprint INTEGER,       -- what the code was made for
        encoded TEXT,              -- the code, as long as it may be sent
        record TEXT,               -- the JSON line; while it waits, the last try's
        label TEXT AS (json_extract(record, '$.label')),
        class_id INTEGER AS (json_extract(record, '$.class_id')),
        probability REAL AS (json_extract(record, '$.probability')),
        quality TEXT AS (json_extract(record, '$.quality')),
        source TEXT AS (json_extract(record, '$.source')),
        reason TEXT AS (json_extract(record, '$.reason')),
        body_bytes REAL AS (json_extract(record, '$.body_bytes')),
        wire_bytes REAL AS (json_extract(record, '$.wire_bytes')),
        milliseconds REAL AS (json_extract(record, '$.timings_ms.total')),
        bundle TEXT AS (json_extract(record, '$.bundle')),
        error TEXT AS (json_extract(record, '$.error.message'))
    )
    """,
    "CREATE INDEX pictures_by_state ON pictures (state, attempts)",
    "CREATE INDEX pictures_to_say ON pictures (settled) WHERE settled IS NOT NULL AND NOT said",
    """
    CREATE TABLE files (
        path PRIMARY KEY,          -- text, or bytes where they are not UTF-8
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL REFERENCES pictures
    )
    """,
    "CREATE INDEX files_by_content ON files (sha256)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
_TRIES = """
    CREATE TABLE IF NOT EXISTS tries (  -- outboxes of 0.1.0 have none
        sha256 TEXT PRIMARY KEY,
        times INTEGER NOT NULL          -- begun and not ended
    ) WITHOUT ROWID
    """

_DURABLE = "PRAGMA synchronous = FULL"
"""What was said must be true after a power cut too."""
_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full; make room and start again, nothing is lost",
    sqlite3.SQLITE_READONLY: "it can't be written; get the permission, or name another file with --outbox",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened for writing; name another file with --outbox",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away and start again",
}
_GONE = (
    "it, or a file beside it, was deleted or replaced while in use; nothing can be written down: start again"
)


@contextmanager
def opened(path: Path, lock_seconds: float) -> Iterator[sqlite3.Connection]:
    """Open, lock and prepare a file, or make one; see ``splitwire.edge.watch.outbox.open_outbox``."""
    with _translated(path):
        connection = sqlite3.connect(path, timeout=lock_seconds, isolation_level=None)
    with closing(connection):
        with _translated(path):
            _check(path, connection)
        with _held(path, lock_seconds):
            with _translated(path):
                _prepare(connection)
            yield connection


class OutboxFile:
    """An open, prepared and locked file. Every method may raise OutboxError."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._identities = self._look()

    def _all(self, query: str, *values: str | bytes | int) -> list[tuple[Any, ...]]:
        """Give the rows of a query."""
        with _translated(self._path):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Do everything inside or nothing; at its end it is on the disk, where others find it.

        ``durable``: a power cut does not undo it; that takes longer.
        """
        with _translated(self._path):
            if not durable:
                self._connection.execute("PRAGMA synchronous = NORMAL")
            try:
                with _all_or_nothing(self._connection):
                    yield self._connection
            finally:
                self._connection.execute(_DURABLE)
        self.check()

    def check(self) -> None:
        """See that what is written is found again.

        Raises:
            OutboxError: the file, what SQLite has beside it, or the lock was deleted or replaced.

        """
        if self._look() != self._identities:
            raise OutboxError(self._path, _GONE)

    def _look(self) -> list[tuple[int, int]]:
        places = [self._path.with_name(self._path.name + end) for end in ("", *_KEPT, LOCK)]
        try:
            return [(status.st_dev, status.st_ino) for status in map(os.stat, places)]
        except OSError as exc:
            raise OutboxError(self._path, _GONE) from exc


@contextmanager
def _all_or_nothing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as OutboxError."""
    try:
        yield
    except sqlite3.Error as exc:
        code = _code(exc)
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            reason = "another program has locked it; close that and start again"
            raise OutboxHeld(path, reason) from exc
        if code == sqlite3.SQLITE_NOTADB:
            raise OutboxForeign(path, "it is not a SQLite file; name another with --outbox") from exc
        raise OutboxError(path, _REASONS.get(code, f"{exc}; nothing in it is lost")) from exc


@contextmanager
def _held(path: Path, lock_seconds: float) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends, and leaves the file readable for others."""
    lock = path.with_name(path.name + LOCK)
    with _translated(path):
        connection = sqlite3.connect(lock, timeout=lock_seconds, isolation_level=None)
    with closing(connection):
        with _translated(path):
            try:
                connection.execute("PRAGMA journal_mode = MEMORY")  # no file beside the lock's
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as exc:
                if _code(exc) != sqlite3.SQLITE_BUSY:
                    raise
                raise OutboxHeld(path, "another edge-client watch keeps it; stop that one first") from exc
        yield


def _check(path: Path, connection: sqlite3.Connection) -> None:
    """Refuse what is not an outbox of this release, before anything is written."""
    if not _is_new(connection) and _value(connection, "application_id") != _APPLICATION_ID:
        raise OutboxForeign(path, "it is not Splitwire's; name another file with --outbox")
    if _value(connection, "user_version") > _VERSION:
        raise OutboxForeign(path, "a newer release made it; install that one, or name another with --outbox")


def _prepare(connection: sqlite3.Connection) -> None:
    """Make it durable, and make the tables that are not there."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(_DURABLE)
    with _all_or_nothing(connection):
        for statement in _SCHEMA if _is_new(connection) else ():
            connection.execute(statement)
        connection.execute(_TRIES)


def _is_new(connection: sqlite3.Connection) -> bool:
    return _value(connection, "schema_version") == 0


def _value(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 where there is none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
