"""An application on a socket: from listening to the last connection's end."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from splitwire.cloud.http.acceptor import Acceptor
from splitwire.cloud.http.protocol import Protocol, State
from splitwire.cloud.logs import Seldom
from splitwire.cloud.metrics import Metrics
from splitwire.shared.errors import SettingsError, SplitwireError, codes_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from splitwire.cloud.settings import ServerSettings

_LOG = logging.getLogger(__name__)
_PRESSED_SECONDS = 1.0
"""How long after a refused body connections are taken a few at a time."""


def listen(settings: ServerSettings, *, keys: bool) -> socket.socket:
    """Take the port; who connects while the model loads is answered afterwards.

    Raises:
        SettingsError: it can't be had, or would serve other machines without asking for ``keys``.

    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it. asyncio sets it only on sockets that were made with a protocol's number; without
        # it the second packet of an answer waits for the caller's delayed acknowledgement, 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as exc:
        raise SettingsError(
            f"can't listen on {host} port {port} ({exc.strerror}); choose another --host or --port"
        ) from exc
    if not (keys or settings.open_to_all or is_loopback(listener)):
        listener.close()
        raise SettingsError(
            f"{host} can be reached from other machines and no key is asked for; "
            "give --key-file, or --open to serve everyone"
        )
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Tell whether only this machine can connect."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def url_of(listener: socket.socket, *, tls: bool) -> str:
    """Write down where a listener is."""
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if listener.family == socket.AF_INET6 else host
    return f"{'https' if tls else 'http'}://{name}:{port}"


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Load a certificate chain and its key, PEM; without either, there is no TLS.

    Raises:
        SettingsError: one without the other, or they can't be used.

    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("TLS needs both --tls-certificate and --tls-key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # an encrypted key fails, rather than asks
    except (OSError, ValueError) as exc:  # SSLError is an OSError
        reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or exc
        raise SettingsError(
            f"certificate {certificate} with key {key} can't be used ({reason}); "
            "give PEM files that belong together, the key not encrypted"
        ) from exc
    return context


class Server(uvicorn.Server):
    """uvicorn's server, which takes connections in its own way and leaves the signals to whoever runs it."""

    def __init__(
        self,
        application: ASGIApp,
        tls: ssl.SSLContext | None = None,
        *,
        connections: int,
        protocol: type[Protocol] = Protocol,
        metrics: Metrics | None = None,
    ) -> None:
        """Build it around an application whose lifespan is somebody else's business.

        Args:
            application: what answers the requests.
            tls: with which to speak HTTPS; None: HTTP.
            connections: how many may be open at a time.
            protocol: what reads a connection; a test may wait less long for callers.
            metrics: is told how many connections are open, and of those that were refused.

        """
        config = uvicorn.Config(
            application,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=math.ceil(protocol.idle_seconds),
            server_header=False,
            proxy_headers=False,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        super().__init__(config)
        self._log = Seldom(_LOG.info, "connections sent no valid request")
        self.server_state: State = State(self._refused)
        self._protocol = protocol
        self._connections = connections
        self._metrics = metrics or Metrics()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        loop = asyncio.get_running_loop()
        acceptors = [
            Acceptor(
                listener,
                lambda: self._protocol(self.config, self.server_state, {}, loop),
                made=self.server_state.connections,
                most=self._connections,
                refused=self._metrics.connection_refused,
                pressed=lambda: loop.time() - self.server_state.left_unread < _PRESSED_SECONDS,
                tls=self.config.ssl,
                handshake_seconds=self._protocol.header_seconds,
                parting_seconds=self._protocol.rest_seconds,
            )
            for listener in sockets or ()
        ]
        self._metrics.connections.set_function(lambda: sum(acceptor.open for acceptor in acceptors))
        self.servers = acceptors  # type: ignore[assignment]  # uvicorn only closes them
        self.started = True

    def drain(self) -> None:
        """Make the next answer of every connection its last."""
        self.server_state.draining = True
        for connection in self._open():
            connection.shutdown()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and wait for the end of those there are."""
        self.drain()
        await super().shutdown(sockets)

    def cut(self) -> None:
        """Cut the connections that have not closed."""
        for connection in self._open():
            connection.cut()

    def _refused(self, error: SplitwireError) -> None:
        status = codes_of(error).status or 500
        self._metrics.request_done("other", status)
        self._log.note(status=status, error=type(error).__name__)

    def _open(self) -> list[Protocol]:
        return [each for each in self.server_state.connections if isinstance(each, Protocol)]
