"""The server's log: a line an event, for people or for machines."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

LogFormat = Literal["text", "json"]


def set_up_logs(level: str, log_format: LogFormat) -> None:
    """Write this process's log to standard error, and uvicorn's with it: the server gives that no log of its own."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class Seldom:
    """An event that may come often, logged once a second at most, with how many there were since.

    ``log``: a logger's method for the level.
    """

    def __init__(self, log: Callable[..., None], message: str) -> None:
        self._log = log
        self._message = message
        self._unsaid = 0
        self._said_at = float("-inf")

    def note(self, **fields: object) -> None:
        """Count one; ``fields`` say what this one was."""
        self._unsaid += 1
        now = time.monotonic()
        if now - self._said_at >= 1:
            self._log(self._message, extra={"fields": {**fields, "refused": self._unsaid}})
            self._said_at, self._unsaid = now, 0


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what the event adds, and a traceback as text."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one event."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """Time, level and message, then ``key=value``; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one event."""
        fields = [f"{key}={_plain(value)}" for key, value in _fields(record).items()]
        line = " ".join([_time(record), record.levelname.lower(), record.getMessage(), *fields])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Find what the event was logged with, as ``extra={"fields": ...}``."""
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _plain(value: object) -> str:
    """Quote what is not one plain word, so that no caller can write lines or fields of its own."""
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text)
