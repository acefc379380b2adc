"""``edge-client``: the device as a command."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from splitwire import __version__
from splitwire.edge.commands.bench import bench
from splitwire.edge.commands.config import apply_config, default_config
from splitwire.edge.commands.info import ask_cloud, backends, describe
from splitwire.edge.commands.options import (
    AsJson,
    BundlePath,
    CloudUrl,
    Confident,
    DeadlineMs,
    Fallback,
    FixedQuality,
    Head,
    Key,
    LowMemory,
    Quality,
    Top,
)
from splitwire.edge.commands.output import Output
from splitwire.edge.commands.pictures import named_pictures
from splitwire.edge.commands.pull import pull
from splitwire.edge.pipeline import open_classifier
from splitwire.edge.records import Record, problem
from splitwire.edge.settings import DeviceSettings, WatchSettings
from splitwire.edge.watch.run import watch as watch_folder
from splitwire.shared.bundle import default_bundle_path
from splitwire.shared.command import command_group, print_line, run
from splitwire.shared.errors import codes_of, shown

if TYPE_CHECKING:
    from splitwire.edge.commands.info import BundleInfo, CloudInfo
    from splitwire.shared.evaluation import Share

app = command_group("Classify pictures with a network split between this device and a cloud.")


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="SPLITWIRE_CONFIG",
            metavar="FILE",
            help="TOML with options by name (cloud, quality, deadline_ms, ...), under flags and variables.",
            show_default=str(default_config()),
        ),
    ] = None,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Classify pictures with a network split between this device and a cloud."""
    if show_version:
        typer.echo(f"splitwire {__version__}")
        raise typer.Exit
    apply_config(context, config)


@app.command()
def classify(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Picture files, directories of them, or - for a picture on standard input.",
            show_default=False,
        ),
    ],
    cloud: CloudUrl = None,
    quality: Quality = None,
    head: Head = "ncnn",
    low_memory: LowMemory = False,
    top: Top = 1,
    as_json: AsJson = False,
    bundle: BundlePath = default_bundle_path(),
    key: Key = None,
    deadline_ms: DeadlineMs = 10_000,
    fallback: Fallback = True,
    confident: Confident = None,
) -> None:
    """Classify pictures.

    Exit codes: 0 every picture has an answer; 1 failure; 2 wrong use; 3 a picture can't be read;
    4 the model bundle can't be used; 5 the cloud can't be reached; 6 the cloud refused, or is no
    Splitwire cloud; 7 packages are missing. With several pictures, the first failure's.
    """
    settings = DeviceSettings(
        bundle=bundle,
        head=head,
        low_memory=low_memory,
        cloud=cloud,
        quality=quality,
        top=top,
        key=key,
        deadline_ms=deadline_ms,
        fallback=fallback,
        confident=confident,
    )
    raise typer.Exit(asyncio.run(_classify(paths, settings, as_json=as_json)))


async def _classify(paths: list[Path], settings: DeviceSettings, *, as_json: bool) -> int:
    exit_code = 0
    pictures, unusable = named_pictures(paths)
    widest = max((len(shown(picture)) for picture in pictures if isinstance(picture, Path)), default=0)
    output = Output(as_json=as_json, widest_path=widest, total=len(pictures))
    for folder, error in unusable.items():
        output.record(Record(path=shown(folder), error=problem(error)))
        exit_code = exit_code or codes_of(error).exit
    if not pictures:
        return exit_code
    async with open_classifier(settings) as classifier:
        with output:
            async for record in classifier.classify(pictures):
                output.record(record)
                if record.error is not None:
                    exit_code = exit_code or record.error.exit_code
    return exit_code


@app.command()
def watch(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="Where pictures appear.")
    ],
    cloud: CloudUrl = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="SPLITWIRE_RECORD",
            help="The record, a SQLite file on a local disk.",
            show_default=".splitwire.sqlite in FOLDER",
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", envvar="SPLITWIRE_ONCE", help="End when everything in FOLDER has an answer."),
    ] = False,
    quality: FixedQuality = None,
    head: Head = "ncnn",
    low_memory: LowMemory = False,
    top: Top = 1,
    as_json: AsJson = False,
    bundle: BundlePath = default_bundle_path(),
    key: Key = None,
    deadline_ms: DeadlineMs = 10_000,
    fallback: Fallback = False,
    confident: Confident = None,
    settle: Annotated[
        float,
        typer.Option(
            envvar="SPLITWIRE_SETTLE",
            min=0.01,
            help="Seconds without a change after which a file is complete.",
        ),
    ] = 1,
    patience: Annotated[
        float,
        typer.Option(
            envvar="SPLITWIRE_PATIENCE",
            min=0,
            help="Seconds after which a file that is no picture is a failure.",
        ),
    ] = 60,
    poll: Annotated[
        float,
        typer.Option(
            envvar="SPLITWIRE_POLL",
            min=0.01,
            help="Seconds between looks where the system, as a network share, tells of no changes.",
        ),
    ] = 5,
) -> None:
    """Classify the pictures of a folder and its subfolders as they appear.

    Every picture ends with exactly one answer in the record, whatever
    happens meanwhile: it waits for the cloud through outages, and a restart
    goes on where the last run ended. The same content is classified once.
    Hidden files, and those with names of unfinished ones (.part, .tmp and
    the like), are left alone. A picture that the cloud refuses is set aside
    and tried again at a restart, or when the model bundle changes.

    Runs until SIGTERM (exit code 0) or Ctrl-C (130). The other exit codes
    are classify's, and 9: the record can't be kept.
    """
    device = DeviceSettings(
        bundle=bundle,
        head=head,
        low_memory=low_memory,
        cloud=cloud,
        quality=quality,
        top=top,
        key=key,
        deadline_ms=deadline_ms,
        fallback=fallback,
        confident=confident,
    )
    settings = WatchSettings(
        folder=folder,
        record=record,
        once=once,
        settle_seconds=settle,
        patience_seconds=patience,
        poll_seconds=poll,
    )
    raise typer.Exit(asyncio.run(_watch(device, settings, as_json=as_json)))


async def _watch(device: DeviceSettings, settings: WatchSettings, *, as_json: bool) -> int:
    watching = asyncio.create_task(watch_folder(device, settings, Output(as_json=as_json).record, print_line))
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        watching.cancel()

    with suppress(NotImplementedError):  # Windows has no such signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        return await watching
    except asyncio.CancelledError:
        if stopped.is_set():
            return 0
        raise


@app.command()
def info(
    bundle: BundlePath = default_bundle_path(),
    cloud: CloudUrl = None,
    key: Key = None,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="SPLITWIRE_JSON", help="Everything, as JSON.")
    ] = False,
) -> None:
    """Say what there is: the bundle's qualities with mean bytes and accuracy, backends, the cloud.

    Exit code 5 where the named cloud can't be used; the output says why.
    """
    described = describe(bundle)
    asked = None if cloud is None else ask_cloud(cloud, key, described)
    if as_json:
        values = {**described.model_dump(mode="json"), "backends": backends()}
        typer.echo(json.dumps({**values, "cloud": asked and asked.model_dump(mode="json")}, indent=2))
    else:
        _print_info(described, asked)
    if asked is not None and asked.problem is not None:
        raise typer.Exit(5)


def _print_info(described: BundleInfo, cloud: CloudInfo | None) -> None:
    typer.echo(f"{described.bundle}: {', '.join(described.classes)}")
    for name, share in (
        ("without compression", described.base_accuracy),
        ("the device alone", described.device_accuracy),
    ):
        if share is not None:
            typer.echo(f"{name} {_accuracy(share)}")
    for quality in described.qualities:
        size = "not measured" if quality.body_bytes is None else f"{quality.body_bytes:,.1f} bytes"
        default = ", the default" if quality.default else ""
        typer.echo(f"{quality.name:8} {size:>14}  {_accuracy(quality.accuracy)}  {quality.codec}{default}")
    heads = (f"{name} {release or 'not installed'}" for name, release in backends().items())
    typer.echo(f"heads: {', '.join(heads)}")
    if cloud is not None:
        said = cloud.problem or f"ready on {cloud.device}, for {', '.join(cloud.qualities)}"
        typer.echo(f"cloud {cloud.url}: {said.removeprefix(f'cloud {cloud.url}: ')}")


@app.command(name="bench")
def bench_device(
    head: Head = "ncnn",
    low_memory: LowMemory = False,
    bundle: BundlePath = default_bundle_path(),
    deadline_ms: DeadlineMs = 1_000,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="SPLITWIRE_JSON", help="Everything, as JSON.")
    ] = False,
) -> None:
    """Time this device stage by stage, and work out which quality suits which link."""
    settings = DeviceSettings(bundle=bundle, head=head, low_memory=low_memory, deadline_ms=deadline_ms)
    measured = bench(settings)
    if as_json:
        typer.echo(measured.model_dump_json(indent=2))
        return
    typer.echo(f"load {measured.load_ms:.1f} ms, head ({measured.head}) {measured.head_ms:.1f} ms")
    typer.echo(f"{'quality':8} {'encode, ms':>10} {'bytes':>9}  seconds from file to answer:")
    for name, times in measured.qualities.items():
        size = "" if times.body_bytes is None else f"{times.body_bytes:,.1f}"
        links = ", ".join(f"{seconds:.2f} ({link})" for link, seconds in times.seconds_by_link.items())
        typer.echo(f"{name:8} {times.encode_ms:>10.2f} {size:>9}  {links}")
    typer.echo(f"the most accurate that answers within {measured.deadline_ms:,.0f} ms:")
    for link, best in measured.best_by_link.items():
        typer.echo(f"  {link:20} {best or 'none'}")


@app.command(name="pull")
def pull_bundle(
    target: Annotated[Path, typer.Argument(metavar="PLACE", help="What shall lead to the bundle.")],
    cloud: Annotated[
        str,
        typer.Option(
            envvar="SPLITWIRE_CLOUD",
            metavar="URL",
            help="The cloud, as http://host:port.",
            show_default=False,  # a file of settings may have a password in it
        ),
    ],
    bundle_id: Annotated[
        str | None,
        typer.Option("--id", envvar="SPLITWIRE_ID", help="Which bundle, where the cloud has several."),
    ] = None,
    key: Key = None,
) -> None:
    """Fetch the device's part of a cloud's bundle, and use it with --bundle PLACE.

    Every hash is checked. What PLACE led to stays in use until all is there,
    and files that have not changed are not fetched again.
    """
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("fetching", total=None)
        pulled = pull(
            cloud, key, bundle_id, target, lambda done, total: bar.update(task, completed=done, total=total)
        )
    total = sum(file.bytes for file in pulled.files)
    typer.echo(f"{shown(target)}: bundle {pulled.id}, {len(pulled.files)} files, {total / 1e6:.1f} MB")


def _accuracy(share: Share | None) -> str:
    if share is None:
        return "not measured"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%} of {share.n:,})"


def main() -> None:
    """Run the command."""
    run(app)


if __name__ == "__main__":
    main()
