"""``cloud-server``: the options, the start line, and serving until a signal stops it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from threadpoolctl import threadpool_limits
from uvloop import new_event_loop

from splitwire.cloud.http.acceptor import room_for
from splitwire.cloud.http.server import Server, is_loopback, listen, tls_context, url_of
from splitwire.cloud.logs import LogFormat, set_up_logs
from splitwire.cloud.settings import CloudSettings, ServerSettings
from splitwire.shared.command import command_line

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)
_CLOSING_SECONDS = 0.5
"""What closing connections and ending the process may take at the end of a drain, each."""

LogLevel = Literal["critical", "error", "warning", "info", "debug"]

app = command_line("cloud-server", "Serve the second half of a split network over HTTP.")


@app.default
def command(
    *,
    server: ServerSettings = ServerSettings(),
    settings: CloudSettings = CloudSettings(),
    log_level: LogLevel = "info",
    log_format: Annotated[LogFormat, Parameter(help="Lines for people, or JSON for machines.")] = "text",
) -> None:
    """Start the server; it stops on SIGINT or SIGTERM after answering what it has accepted."""
    set_up_logs(log_level, log_format)
    with listen(server, keys=settings.key_file is not None) as listener:

        def ready() -> None:
            url = url_of(listener, tls=server.tls_certificate is not None)
            _say_start(settings, _access(settings, listener), url, log_format)

        # numpy's BLAS computes a little between torch's layers; its waiting threads would take torch's cores.
        with (
            threadpool_limits(limits=1, user_api="blas"),
            asyncio.Runner(loop_factory=new_event_loop) as runner,
        ):
            runner.run(_serve(settings, server, listener, ready))


async def _serve(
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
    # Torch takes seconds: whoever asks for help, or gives options that can't be used, waits for none of them.
    from splitwire.cloud.app import application_of  # noqa: PLC0415
    from splitwire.cloud.inference.service import Service  # noqa: PLC0415

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, _interrupt, loop, stop)
    service = Service(settings)
    connections = room_for(server_settings.connections)
    # Started here rather than by uvicorn, so that a bundle that can't be used ends in one line.
    async with service.running():
        server = Server(application_of(service), tls, connections=connections, metrics=service.metrics)
        gc.freeze()  # what was loaded stays: it need not be looked through again and again
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        ready()
        if connections < server_settings.connections:
            _LOG.warning("the limit of open files leaves room for %s connections", connections)
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        service.refuse()
        server.drain()
        loop.call_later(server_settings.drain_seconds - _CLOSING_SECONDS, server.cut)
        with suppress(TimeoutError):
            async with asyncio.timeout(server_settings.drain_seconds - 2 * _CLOSING_SECONDS):
                await service.answered()
        service.drop()
        server.should_exit = True
        await serving


def _interrupt(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop gracefully; whoever interrupts again stops at once."""
    stop.set()
    loop.remove_signal_handler(signal.SIGINT)


def _access(settings: CloudSettings, listener: socket.socket) -> str:
    if settings.key_file is not None:
        return "keys asked for"
    return "no key asked for, this machine only" if is_loopback(listener) else "OPEN TO ALL, no key asked for"


def _say_start(settings: CloudSettings, access: str, url: str, log_format: LogFormat) -> None:
    """Say in one line what is served to whom, and last, where."""
    bundles = [path.name for path in settings.bundles]
    if log_format == "json":
        line = json.dumps({"message": "started", "bundles": bundles, "access": access, "url": url})
    else:
        noun = "bundle" if len(bundles) == 1 else "bundles"
        line = f"cloud-server: {noun} {', '.join(bundles)}; {access}; {url}"
    with suppress(OSError):  # a full disk for logs is no reason not to serve
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - a command's output
