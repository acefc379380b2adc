"""``edge-client``: the device as a command."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.classify import STAGES, open_classifier
from edge.settings import DeviceSettings
from shared.bundle import default_bundle_path
from shared.command import command_group, print_line, run

if TYPE_CHECKING:
    from edge.records import Record

app = command_group("Classify pictures with a network split between this device and a cloud.")


@app.callback(invoke_without_command=True)
def about(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Classify pictures with a network split between this device and a cloud."""
    if show_version:
        typer.echo(f"splitwire {version('splitwire')}")
        raise typer.Exit


@app.command()
def classify(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Picture files.", show_default=False)
    ],
    cloud: Annotated[
        str | None,
        typer.Option(
            envvar="SPLITWIRE_CLOUD",
            metavar="URL",
            help="The cloud, as http://host:port. Without one, a cloud runs inside this process.",
        ),
    ] = None,
    quality: Annotated[
        str | None, typer.Option(help="How the code is sent: a quality of the bundle, as paper or int8.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, max=999_999_999, help="How many of the likeliest classes to give.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture, a line each.")] = False,
    bundle: Annotated[
        Path, typer.Option(envvar="SPLITWIRE_BUNDLE", help="Folder of the model bundle.")
    ] = default_bundle_path(),
    key: Annotated[
        str | None, typer.Option(envvar="SPLITWIRE_KEY", help="The cloud's API key.", show_default=False)
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="Seconds to wait for an answer.")
    ] = 10.0,
) -> None:
    """Classify pictures.

    Exit codes: 0 every picture has an answer; 1 failure; 2 wrong use; 3 a picture can't be read;
    4 the model bundle can't be used; 5 the cloud can't be reached; 6 the cloud refused, or is no
    Splitwire cloud; 7 packages are missing. With several pictures, the first failure's.
    """
    settings = DeviceSettings(bundle=bundle, cloud=cloud, quality=quality, top=top, key=key, timeout=timeout)
    raise typer.Exit(asyncio.run(_classify(paths, settings, as_json=as_json)))


async def _classify(paths: list[Path], settings: DeviceSettings, *, as_json: bool) -> int:
    exit_code = 0
    async with open_classifier(settings) as classifier:
        async for record in classifier.classify(paths):
            _print(record, as_json=as_json)
            if record.error is not None:
                exit_code = exit_code or record.error.exit_code
    return exit_code


def _print(record: Record, *, as_json: bool) -> None:
    if as_json:
        typer.echo(record.model_dump_json())
    if record.error is not None:
        message = record.error.message
        named = message if message.startswith(record.path) else f"{record.path}: {message}"
        print_line(f"error: {named}")
    elif not as_json:
        guesses = ", ".join(f"{guess.label} {guess.probability:.1%}" for guess in record.top)
        stages = ", ".join(f"{stage} {record.timings_ms[stage]:.0f}" for stage in STAGES)
        typer.echo(
            f"{record.path}: {guesses} ({record.body_bytes:,.0f} bytes, "
            f"{record.timings_ms['total']:.0f} ms: {stages}; {record.source})"
        )


def main() -> None:
    """Run the command."""
    run(app)


if __name__ == "__main__":
    main()
