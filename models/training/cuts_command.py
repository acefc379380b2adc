"""``python -m splitwire.models.training cuts``: where a network can be cut, and what it costs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, PositiveFloat, PositiveInt
from rich.console import Console
from rich.table import Table

from splitwire.models.device import limit_threads
from splitwire.models.networks import PAPERS, build, preparation
from splitwire.models.training.placement import DEVICE, PICTURE, Placement, draw, place, read_link
from splitwire.models.training.stages.backbone import BackboneSettings
from splitwire.shared.bundle import NetworkSpec
from splitwire.shared.command import print_result

_NETWORK = f"{PAPERS}, or a classifier of timm: any name that timm.list_models() has."
_LINK = "Rate of the link, as 1Mbit/s: when does an answer come?"
_CODE = "Bytes sent at a cut; else the autoencoder's latent, a byte a number."
_PICTURE = "Bytes of a picture sent whole; else 1.1 bits a pixel, as our samples have as JPEG of quality 75."
_WIDEST = 160

NetworkName = Annotated[str, Parameter(help=_NETWORK)]


def cuts(
    *,
    network: NetworkName = PAPERS,
    classes: Annotated[PositiveInt, Parameter(help="Of the classifier at its end.")] = 10,
    size: Annotated[
        PositiveInt | None, Parameter(help="Side of a picture, pixels; else the network's own.")
    ] = None,
    link: Annotated[str | None, Parameter(help=_LINK)] = None,
    rtt: Annotated[
        NonNegativeFloat, Parameter(help="From the device to the cloud and back, milliseconds.")
    ] = 50.0,
    slowdown: Annotated[
        PositiveFloat, Parameter(help="How many times slower the device is than this machine.")
    ] = 1.0,
    code_bytes: Annotated[PositiveInt | None, Parameter(help=_CODE)] = None,
    picture_bytes: Annotated[PositiveInt | None, Parameter(help=_PICTURE)] = None,
    passes: Annotated[PositiveInt, Parameter(help="How often the network is timed; the median counts.")] = 10,
    as_json: Annotated[bool, Parameter(name="--json", help="Print every figure as JSON.")] = False,
    plot: Annotated[Path | None, Parameter(help="Draw the times into this file: .png, .svg or .pdf.")] = None,
) -> None:
    """List where a network can be cut: what crosses, what each side costs, and with --link which cut answers soonest."""
    limit_threads()
    joined = read_link(link, rtt) if link else None
    side = size or preparation(network).size
    torch.manual_seed(0)
    hidden = BackboneSettings().hidden if network == PAPERS else ()
    built = build(NetworkSpec(name=network, cut="none yet", hidden=hidden), classes)
    placement = place(
        network,
        built,
        (3, side, side),
        link=joined,
        code_bytes=code_bytes,
        picture_bytes=picture_bytes,
        slowdown=slowdown,
        passes=passes,
    )
    if plot:
        draw(placement, plot)
    if as_json:
        print_result(placement.model_dump_json(indent=2))
    else:
        _print(placement, "the latent, a byte a number" if code_bytes is None else f"{code_bytes:,} bytes")


def _print(placement: Placement, code: str) -> None:
    timed = placement.link is not None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cut")
    for title in (
        "shape",
        "elements",
        "parameters\ndevice",
        "\ncloud",
        "M multiplications\ndevice",
        "\ncloud",
    ):
        table.add_column(title, justify="right")
    for title in ("ms\ndevice", "\ncloud", *(("sent\nbytes", "answer\nms") if timed else ())):
        table.add_column(title, justify="right")
    for each in placement.places:
        if not timed and each.name in {PICTURE, DEVICE}:
            continue
        answer = (
            "" if each.sent is None else f"{each.sent:,}",
            "" if each.answer is None else f"{each.answer:.1f}",
        )
        table.add_row(
            each.name,
            "x".join(map(str, each.shape)),
            f"{each.elements:,}" if each.shape else "",
            f"{each.device_parameters:,}",
            f"{each.cloud_parameters:,}",
            f"{each.device_multiplications / 1e6:,.1f}",
            f"{each.cloud_multiplications / 1e6:,.1f}",
            f"{each.device:.1f}",
            f"{each.cloud:.1f}",
            *(answer if timed else ()),
            style="bold" if each.name == placement.best else None,
        )
    console = Console() if sys.stdout.isatty() else Console(width=_WIDEST)
    console.print(table, highlight=False)
    rows, columns = placement.picture_shape[1:]
    slower = f", the device {placement.slowdown:g} times as long" if placement.slowdown != 1 else ""
    print_result(
        f"\n{placement.network}, one picture of {rows} x {columns} pixels; torch with {placement.threads} "
        f"thread{'s' * (placement.threads > 1)} on this machine{slower}"
    )
    if placement.link:
        print_result(
            f"{placement.link.rate / 1e6:g} Mbit/s, {placement.link.rtt:g} ms there and back; sent at a cut: {code}; "
            "without what the autoencoder takes\n"
            f"soonest answer: {placement.best}"
        )
