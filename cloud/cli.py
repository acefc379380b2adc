"""``cloud-server``: the options, the start line, the process."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from threadpoolctl import threadpool_limits
from uvloop import new_event_loop

from splitwire import __version__
from splitwire.cloud.http.server import is_loopback, listen, serve, url_of
from splitwire.cloud.logs import LogFormat, set_up_logs
from splitwire.cloud.settings import CloudSettings, ServerSettings
from splitwire.shared.bundle import default_bundle_path
from splitwire.shared.command import command_group
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    import socket

_LEVELS = ("critical", "error", "warning", "info", "debug")

app = command_group("Serve the second half of a split network over HTTP.")


@app.command()
def command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    bundle: Annotated[
        list[Path],
        typer.Option(
            envvar="SPLITWIRE_BUNDLE",
            help="Folder of a model bundle; may repeat (in the variable: with colons between). "
            "A frame is served by the first that can.",
        ),
    ] = [default_bundle_path()],  # noqa: B006 - typer reads it
    key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="SPLITWIRE_KEY_FILE",
            help="Accepted API keys, one a line; read again when it changes. Without: this machine only.",
        ),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Serve other machines without asking for keys.")
    ] = False,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="Certificate chain, a PEM file: serve HTTPS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key, a PEM file.")] = None,
    connections: Annotated[
        int, typer.Option(min=1, help="How many may be open; fewer where the limit of open files is lower.")
    ] = 2048,
    drain_seconds: Annotated[
        float, typer.Option(min=1, help="How long stopping may take, with work still queued.")
    ] = 10.0,
    log_level: Annotated[str, typer.Option(help="critical, error, warning, info or debug.")] = "info",
    log_format: Annotated[LogFormat, typer.Option(help="Lines for people, or JSON for machines.")] = "text",
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Start the server; it stops on SIGINT or SIGTERM after answering what it has accepted."""
    if show_version:
        typer.echo(f"splitwire {__version__}")
        return
    if log_level not in _LEVELS:
        raise SettingsError(f"log level {log_level!r}; choose one of {', '.join(_LEVELS)}")
    settings = CloudSettings(bundles=tuple(bundle), device=device, key_file=key_file)
    server_settings = ServerSettings(
        host=host,
        port=port,
        open_to_all=open_to_all,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        connections=connections,
        drain_seconds=drain_seconds,
    )
    set_up_logs(log_level, log_format)
    with listen(server_settings, keys=key_file is not None) as listener:

        def ready() -> None:
            url = url_of(listener, tls=tls_certificate is not None)
            _say_start(settings, _access(settings, listener), url, log_format)

        # numpy's BLAS computes a little between torch's layers; its waiting threads would take torch's cores.
        with (
            threadpool_limits(limits=1, user_api="blas"),
            asyncio.Runner(loop_factory=new_event_loop) as runner,
        ):
            runner.run(serve(settings, server_settings, listener, ready))


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
        typer.echo(line, err=True)
