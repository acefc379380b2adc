"""API keys."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from shared.errors import KeyMissing, KeyWrong, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.requests import Request


def read_keys(file: Path | None) -> tuple[bytes, ...]:
    """Read one key a line; blank lines and lines that begin with # are left out.

    Raises:
        SettingsError: the file can't be read, or has no key.

    """
    if file is None:
        return ()
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


def check_key(request: Request, keys: Sequence[bytes]) -> None:
    """Compare the request's bearer key with every accepted one, in constant time.

    Raises:
        KeyMissing: keys are configured and the request has none.
        KeyWrong: it is not one of them.

    """
    if not keys:
        return
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise KeyMissing
    given = key.strip().encode("latin-1")
    if not any([hmac.compare_digest(given, accepted) for accepted in keys]):  # noqa: C419 - all are compared
        raise KeyWrong
