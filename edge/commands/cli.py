"""``edge-client``: the device as a command."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import Progress

from splitwire.edge.commands.bench import bench
from splitwire.edge.commands.config import SettingsFile, Variables, default_config
from splitwire.edge.commands.info import ask_cloud, backends, describe
from splitwire.edge.commands.output import Output
from splitwire.edge.commands.pictures import named_pictures
from splitwire.edge.commands.pull import pull
from splitwire.edge.files import is_folder
from splitwire.edge.pipeline import open_pipeline
from splitwire.edge.results import failed
from splitwire.edge.settings import (
    BundleSettings,
    CloudAccess,
    DeviceSettings,
    HeadSettings,
    PullSettings,
    WatchSettings,
)
from splitwire.edge.watch.run import watch as watch_folder
from splitwire.shared.command import PREFIX, command_line, print_line, print_result, run
from splitwire.shared.errors import SettingsError, shown

_Lines = Annotated[bool, Parameter(name="--json", help="One JSON object a picture, a line each.")]
_Json = Annotated[bool, Parameter(name="--json", help="Everything, as JSON.")]

commands = command_line(
    "edge-client", "Classify pictures with a network split between this device and a cloud."
)
commands.config = [Variables(PREFIX, command=False)]
app = commands.meta


@app.default
def launch(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None,
        Parameter(
            help="TOML with options by name (cloud, quality, deadline_ms, ...), under flags and variables. "
            f"Without it: {default_config()}, if it is there."
        ),
    ] = None,
) -> object:
    """Read the settings file, then run a command."""
    if not words:
        commands.help_print()
        return 2
    commands.config = [Variables(PREFIX, command=False), SettingsFile(commands, config)]
    return commands("./-" if word == "-" else word for word in words)  # else - would be an option


@commands.command
def classify(
    *paths: Annotated[
        Path,
        Parameter(
            help="Picture files, directories of them with their subdirectories, or - for a picture on standard input.",
            required=True,
            show_env_var=False,
        ),
    ],
    settings: DeviceSettings = DeviceSettings(),
    as_json: _Lines = False,
) -> int:
    """Classify pictures.

    Exit codes: 0 every picture has an answer; 1 failure; 2 wrong use; 3 a picture can't be read;
    4 the model bundle can't be used; 5 the cloud can't be reached; 6 the cloud refused, or is no
    Splitwire cloud; 7 packages are missing. With several pictures, the first failure's.
    """
    return asyncio.run(_classify(paths, settings, as_json=as_json))


async def _classify(paths: tuple[Path, ...], settings: DeviceSettings, *, as_json: bool) -> int:
    pictures, passed_over, unusable = named_pictures(paths)
    if passed_over:
        print_line(f"passed over, not named as pictures: {passed_over} files; name one to have it tried")
    widest = max((len(name) for name, _ in pictures), default=0)
    output = Output(as_json=as_json, widest_path=widest, total=len(pictures))
    for path, error in unusable.items():
        output.result(failed(shown(path), error))
    if pictures:
        async with open_pipeline(settings) as pipeline:
            with output:
                async for result in pipeline.classify(pictures):
                    output.result(result)
    return output.exit_code


@commands.command
def watch(
    folder: Annotated[Path, Parameter(help="Where pictures appear.", show_env_var=False)],
    /,
    *,
    settings: WatchSettings = WatchSettings(),
    as_json: _Lines = False,
) -> int:
    """Classify the pictures of a folder and its subfolders as they appear.

    Every picture ends with exactly one answer in the outbox, whatever
    happens meanwhile: it waits for the cloud through outages, and a restart
    goes on where the last run ended. The same content is classified once.
    Left alone are hidden files, those with names of unfinished ones (.part,
    .tmp and the like), and those that are not named as pictures. A picture
    that the cloud refuses is set aside and tried again at a restart, or when
    the model bundle changes.

    Runs until SIGTERM (exit code 0) or Ctrl-C (130). The other exit codes
    are classify's, and 9: the outbox can't be kept.
    """
    if not is_folder(folder):
        raise SettingsError(f"{shown(folder)} is no folder; name the one where pictures appear")
    return asyncio.run(_watch(folder.absolute(), settings, Output(as_json=as_json)))


async def _watch(folder: Path, settings: WatchSettings, output: Output) -> int:
    watching = asyncio.create_task(watch_folder(folder, settings, output.result, print_line))
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        watching.cancel()

    with suppress(NotImplementedError):  # Windows has no such signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        await watching
    except asyncio.CancelledError:
        if stopped.is_set():
            return 0
        raise
    return output.exit_code


@commands.command
def info(
    *,
    bundle: BundleSettings = BundleSettings(),
    access: CloudAccess = CloudAccess(),
    as_json: _Json = False,
) -> int:
    """Say what there is: the bundle's qualities with mean bytes and accuracy, backends, the cloud.

    Exit code 5 where the named cloud can't be used; the output says why.
    """
    described = describe(bundle.bundle)
    cloud = None if access.cloud is None else ask_cloud(access.cloud, access.key, described)
    if as_json:
        values = {**described.model_dump(mode="json"), "backends": backends()}
        print_result(json.dumps({**values, "cloud": cloud and cloud.model_dump(mode="json")}, indent=2))
    else:
        for line in (*described.lines(), *(cloud.lines() if cloud else ())):
            print_result(line)
    return 5 if cloud and cloud.problem else 0


@commands.command(name="bench")
def bench_device(
    *,
    head: HeadSettings = HeadSettings(),
    deadline_ms: Annotated[
        float,
        Parameter(
            help="Milliseconds within which an answer is wanted.",
            validator=validators.Number(gte=1, lte=86_400_000),
        ),
    ] = 1_000,
    as_json: _Json = False,
) -> None:
    """Time this device stage by stage, and work out which quality suits which link."""
    measured = bench(head, deadline_ms)
    print_result(measured.model_dump_json(indent=2) if as_json else "\n".join(measured.lines()))


@commands.command(name="pull")
def pull_bundle(
    place: Annotated[
        Path,
        Parameter(help="Where the bundle will be: a link to a folder beside it.", show_env_var=False),
    ],
    /,
    *,
    access: PullSettings,
    bundle_id: Annotated[
        str | None, Parameter(name="--id", help="Which bundle, where the cloud has several.")
    ] = None,
) -> None:
    """Fetch the device's part of a cloud's bundle, and use it with --bundle PLACE.

    Every hash is checked. The bundle that is there stays in use until all of the new one is, and files that have not
    changed are not fetched again.
    """
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("fetching", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        pulled = pull(access.cloud, access.key, bundle_id, place, advance)
    total = sum(file.bytes for file in pulled.files)
    print_result(f"{shown(place)}: bundle {pulled.id}, {len(pulled.files)} files, {total / 1e6:.1f} MB")


if __name__ == "__main__":
    run(app)
