"""API keys."""

from __future__ import annotations

import codecs
import hmac
import logging
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from splitwire.cloud.errors import KeyMissing, KeyWrong
from splitwire.shared.errors import SettingsError
from splitwire.shared.regular_file import read_regular

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_SETTLE = 2.0
"""A younger file may be written again within the same tick of the file system's clock."""
MAX_FILE_BYTES = 1 << 20
_Version = tuple[int, ...]


class Keys:
    """The accepted keys of a file, which is read again when it changes; without a file, none is asked for.

    The file is looked at when a request comes, at most once a second. A version of it counts as seen when it has
    been read and was not young then; otherwise it is read again at the next look. One that can't be used changes
    nothing, and is said once in the log.
    """

    def __init__(self, file: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file.

        Raises:
            SettingsError: it can't be read, or has no key.

        """
        self._file = file
        self._clock = clock
        self._looked = clock()
        self._seen: _Version | None = None
        self._problem = ""
        self._exposed = False
        self._keys = self._read(file) if file else ()

    def check(self, authorization: bytes) -> bytes:
        """Compare a request's key with every accepted one, in constant time, and return it.

        Args:
            authorization: ``Bearer KEY``; empty without one.

        Returns:
            The key; empty where none is asked for.

        Raises:
            KeyMissing: keys are asked for and the request has none.
            KeyWrong: it is not one of them.

        """
        if self._file is None:
            return b""
        self._look_again(self._file)
        scheme, _, given = authorization.partition(b" ")
        given = given.strip()
        if scheme.lower() != b"bearer" or not given:
            raise KeyMissing
        if not any([hmac.compare_digest(given, accepted) for accepted in self._keys]):  # noqa: C419 - all are compared
            raise KeyWrong
        return given

    def _look_again(self, file: Path) -> None:
        now = self._clock()
        if now - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        try:
            if self._seen is None or _version_of(file) != self._seen:
                keys, self._keys = self._keys, self._read(file)
                if self._keys != keys:
                    _LOG.info("read %d keys from %s", len(self._keys), file)
            self._problem = ""
        except SettingsError as exc:
            problem = str(exc)
            if problem != self._problem:
                _LOG.error("the keys of before are still accepted: %s", problem)
            self._problem = problem

    def _read(self, file: Path) -> tuple[bytes, ...]:
        """Read one key a line; blank lines and lines that begin with # are left out."""
        try:
            content, status = read_regular(file, MAX_FILE_BYTES)
        except OSError as exc:
            raise SettingsError(f"key file {file} can't be read ({exc.strerror})") from exc
        settled = time.time() - status.st_ctime > _SECONDS_TO_SETTLE
        self._seen = _version(status) if settled else None
        exposed = bool(status.st_mode & stat.S_IROTH)
        if exposed and not self._exposed:
            _LOG.warning(
                "every user of this machine can read key file %s; chmod o-r keeps it from them", file
            )
        self._exposed = exposed
        keys = tuple(
            line for line in map(bytes.strip, _ascii_lines(content, file)) if line and line[:1] != b"#"
        )
        if not keys:
            raise SettingsError(f"key file {file} has no key; write one a line")
        return keys


def _version_of(file: Path) -> _Version | None:
    with suppress(OSError):  # reading it says why
        return _version(file.stat())
    return None


def _version(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _ascii_lines(content: bytes, file: Path) -> list[bytes]:
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.isascii():
        raise SettingsError(f"key file {file} has characters that no key has; write ASCII, one key a line")
    return content.splitlines()
