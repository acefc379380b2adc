"""``cloud-server``: the options, the start line, the process."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from threadpoolctl import threadpool_limits
from uvloop import new_event_loop

from splitwire.cloud.http.server import is_loopback, listen, serve, url_of
from splitwire.cloud.logs import LogFormat, set_up_logs
from splitwire.cloud.settings import CloudSettings, ServerSettings
from splitwire.shared.command import command_line

if TYPE_CHECKING:
    import socket

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
            runner.run(serve(settings, server, listener, ready))


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
