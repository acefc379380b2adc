"""The cloud as a process."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from cloud.app import create_app
from cloud.settings import CloudSettings
from shared.bundle import default_bundle_path
from shared.command import command_group
from shared.errors import SettingsError

app = command_group("Serve the second half of a split network over HTTP.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    bundle: Annotated[
        Path, typer.Option(envvar="SPLITWIRE_BUNDLE", help="Folder of the model bundle.")
    ] = default_bundle_path(),
    key_file: Annotated[
        Path | None,
        typer.Option(envvar="SPLITWIRE_KEY_FILE", help="Accepted API keys, one a line; none: open to all."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="critical, error, warning, info or debug.")] = "info",
) -> None:
    """Start the server; it stops on SIGINT or SIGTERM after answering what it has accepted."""
    if log_level not in uvicorn.config.LOG_LEVELS:
        raise SettingsError(f"log level {log_level!r}; choose one of {', '.join(uvicorn.config.LOG_LEVELS)}")
    settings = CloudSettings(bundle=bundle, device=device, key_file=key_file)
    listener = _listen(host, port)
    with listener:
        asyncio.run(_serve(settings, listener, log_level))


async def _serve(settings: CloudSettings, listener: socket.socket, log_level: str) -> None:
    application = create_app(settings)
    # Entered here rather than by uvicorn, so that a bundle that can't be used ends in one line.
    async with application.router.lifespan_context(application):
        typer.echo(f"cloud-server: bundle {settings.bundle.name}, http://{_address(listener)}", err=True)
        config = uvicorn.Config(
            application, lifespan="off", log_level=log_level, access_log=False, server_header=False
        )
        # uvicorn raises the signal that stopped it once more; by then all is done.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        await uvicorn.Server(config).serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Take the port; who connects while the model loads is answered afterwards."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        raise SettingsError(
            f"can't listen on {host} port {port} ({exc.strerror}); choose another --host or --port"
        ) from exc


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"
