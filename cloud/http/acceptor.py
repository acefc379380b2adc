"""Connections are taken from a listening socket, up to as many as there is room for."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from splitwire.cloud.errors import ConnectionsFull
from splitwire.cloud.http.error_answers import last_words
from splitwire.cloud.logs import Seldom

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection

_LOG = logging.getLogger(__name__)
_RESERVED_FILES = 64
"""What the process has open besides connections."""
_AT_ONCE, _AT_ONCE_PRESSED = 1024, 8
"""How many connections are taken before others have their turn; while large bodies are refused, few."""
_PAUSE_SECONDS = 0.1
_LINGER_SECONDS = 1.0
_MAX_LINGERING = 32
"""How many that were turned away have time to read why."""


def room_for(connections: int) -> int:
    """Tell how many connections the limit of open files leaves room for, each with a file to send.

    The limit is raised as far as they need it and the system lets us.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    wanted = 2 * connections + _RESERVED_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(connections, max(1, (soft - _RESERVED_FILES) // 2))


class Acceptor:
    """Takes the connections of a listening socket.

    uvloop, which could, closes a connection without a word where the process has no file descriptor left
    for it, and may then stop listening. Here such a connection waits, and one too many is answered with 503.

    ``made``: the protocols whose connection is made; a TLS handshake comes before that.
    ``most``: how many connections there may be. ``refused`` is called with the reason for each that is not taken.
    ``pressed`` tells whether large bodies are being refused: then connections are taken a few at a time,
    since each caller that comes back at once costs more than an answer.
    ``handshake_seconds``, ``parting_seconds``: how long a caller has to begin TLS, and to end it.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        *,
        made: Collection[object],
        most: int,
        refused: Callable[[str], None],
        pressed: Callable[[], bool],
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
        parting_seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._made = made
        self._most = most
        self._refused = refused
        self._pressed = pressed
        self._tls = tls
        self._handshake_seconds = None if tls is None else handshake_seconds
        self._parting_seconds = None if tls is None else parting_seconds
        self._opening: dict[asyncio.Protocol, asyncio.Task[None]] = {}
        self._lingering = 0
        self._log = Seldom(_LOG.warning, "connections are not taken")
        self._words = last_words(ConnectionsFull())
        self._closed = False
        listener.setblocking(False)
        self._watch()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._made) + sum(each not in self._made for each in self._opening)

    def close(self) -> None:
        """Take those who wait, and no more."""
        if not self._closed:
            while self._take():
                pass
            self._closed = True
            self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Wait for nothing: connections are the server's business."""

    def _watch(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE_PRESSED if self._pressed() else _AT_ONCE):
            if not self._take():
                return

    def _take(self) -> bool:
        """Take one connection, or turn it away; tell whether another one may wait."""
        try:
            connection, _ = self._listener.accept()
        except ConnectionAbortedError:
            return True
        except BlockingIOError:
            return False
        except OSError as exc:  # who waits may be lucky later
            self._note(errno.errorcode.get(exc.errno or 0, "unknown"))
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_PAUSE_SECONDS, self._watch)
            return False
        connection.setblocking(False)
        if self.open < self._most:
            protocol = self._protocol()
            self._opening[protocol] = self._loop.create_task(self._open(connection, protocol))
        else:
            self._note("full")
            self._turn_away(connection)
        return True

    async def _open(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=self._parting_seconds,
            )
        except OSError:  # it has gone, or speaks no TLS
            connection.close()
        finally:
            del self._opening[protocol]

    def _turn_away(self, connection: socket.socket) -> None:
        """Say why, where that can be said without a handshake."""
        if self._tls is None:
            with suppress(OSError):
                connection.send(self._words)
                connection.shutdown(socket.SHUT_WR)
        if self._tls is None and self._lingering < _MAX_LINGERING:
            self._lingering += 1
            self._loop.call_later(_LINGER_SECONDS, self._let_go, connection)
        else:
            connection.close()

    def _let_go(self, connection: socket.socket) -> None:
        self._lingering -= 1
        connection.close()

    def _note(self, reason: str) -> None:
        self._refused(reason)
        self._log.note(reason=reason, open=self.open)
