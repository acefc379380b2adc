"""The cloud on a socket: from listening to a graceful stop."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import math
import signal
import socket
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from cloud.app import Application
from cloud.protocol import Protocol
from cloud.service import Service
from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from cloud.settings import CloudSettings, ServerSettings

_CLOSING_SECONDS = 0.5
"""What closing connections and ending the process may take at the end of a drain, each."""


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


def server_of(
    application: FastAPI, tls: ssl.SSLContext | None = None, protocol: type[Protocol] = Protocol
) -> Server:
    """Build uvicorn's server around an application whose lifespan is somebody else's business."""
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
    return Server(config)


async def serve(
    settings: CloudSettings,
    server_settings: ServerSettings,
    listener: socket.socket,
    ready: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM; ``ready`` is called when the models are loaded.

    Then the cloud is not ready, new frames are refused, and admitted ones answered; what is left at
    the end of ``drain_seconds`` is refused, or cut where it is still arriving.

    Raises:
        SplitwireError: bundles, device, keys or TLS files can't be used.

    """
    tls = tls_context(server_settings.tls_certificate, server_settings.tls_key)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, _interrupt, loop, stop)
    service = Service(settings)
    application = Application(service)
    # Entered here rather than by uvicorn, so that a bundle that can't be used ends in one line.
    async with application.router.lifespan_context(application):
        server = server_of(application, tls)
        gc.freeze()  # what was loaded stays: it need not be looked through again and again
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        ready()
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        await _drain(service, server_settings.drain_seconds)
        server.should_exit = True
        loop.call_later(_CLOSING_SECONDS, server.cut)
        await serving


def _interrupt(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop gracefully; whoever interrupts again stops at once."""
    stop.set()
    loop.remove_signal_handler(signal.SIGINT)


async def _drain(service: Service, seconds: float) -> None:
    """Refuse what comes, wait for what was admitted, refuse what still waits."""
    service.refuse()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds - 2 * _CLOSING_SECONDS):
            await service.answered()
    service.drop()


class Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to ``serve``."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def cut(self) -> None:
        """Cut the connections that have not closed."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Protocol):
                connection.cut()
