"""API keys."""

from __future__ import annotations

import hmac
import logging
import time
from typing import TYPE_CHECKING

from shared.errors import KeyMissing, KeyWrong, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 1.0


def key_of(authorization: bytes) -> bytes:
    """Find the bearer key in a header of that name; empty: there is none."""
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


class Keys:
    """The accepted keys of a file, which is read again when it changes; without a file, none is asked for.

    The file is looked at when a request comes, at most once a second. One that can't be used
    changes nothing, and is said once in the log.
    """

    def __init__(self, file: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file.

        Raises:
            SettingsError: it can't be read, or has no key.

        """
        self._file = file
        self._clock = clock
        self._looked = clock()
        # Taken before the keys are read: a change in between is seen at the next look.
        self._seen = _signature(file) if file else None
        self._keys = _read(file) if file else ()

    def check(self, authorization: bytes) -> None:
        """Compare a request's bearer key with every accepted one, in constant time.

        Args:
            authorization: the header of that name; empty without one.

        Raises:
            KeyMissing: keys are configured and the request has none.
            KeyWrong: it is not one of them.

        """
        if self._file is None:
            return
        self._look_again(self._file)
        given = key_of(authorization)
        if not given:
            raise KeyMissing
        if not any([hmac.compare_digest(given, accepted) for accepted in self._keys]):  # noqa: C419 - all are compared
            raise KeyWrong

    def _look_again(self, file: Path) -> None:
        now = self._clock()
        if now - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        signature = _signature(file)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._keys = _read(file)
        except SettingsError as exc:
            _LOG.error("the keys of before are still accepted: %s", exc)
        else:
            _LOG.info("read %d keys from %s", len(self._keys), file)


def _signature(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(file: Path) -> tuple[bytes, ...]:
    """Read one key a line; blank lines and lines that begin with # are left out."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as exc:
        raise SettingsError(f"key file {file} can't be read ({exc.strerror})") from exc
    except UnicodeDecodeError:
        text = "\N{REPLACEMENT CHARACTER}"
    if not text.isascii():
        raise SettingsError(f"key file {file} has characters that no key has; write ASCII, one key a line")
    lines = [line.strip() for line in text.splitlines()]
    keys = tuple(line.encode() for line in lines if line and not line.startswith("#"))
    if not keys:
        raise SettingsError(f"key file {file} has no key; write one a line")
    return keys
