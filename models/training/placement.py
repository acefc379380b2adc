"""Where to cut a network for a link: what each side takes at each cut, and the time to an answer.

Kang et al.: Neurosurgeon: Collaborative Intelligence Between the Cloud and Mobile Edge, 2017, choose so.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from splitwire.models.autoencoder import latent_shape
from splitwire.models.cuts import Cut, Side, cuts, watched
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.errors import SettingsError

PICTURE, DEVICE = "picture", "device"
"""Instead of a cut: the picture is sent, or the device does it all."""
_JPEG_BITS_PER_PIXEL = 1.1
"""The five sample pictures have that at 224 x 224 pixels and quality 75."""
_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Link(_Part):
    """A network link: bits a second, and the time to the cloud and back, milliseconds."""

    rate: float
    rtt: float


class Place(_Part):
    """A cut, or one of ``PICTURE`` and ``DEVICE``; times in milliseconds, for one picture.

    ``sent``: bytes. ``device``: includes that it is slower than this machine. ``answer``: None without a link, or where
    nothing can be sent. ``shape`` and ``elements`` are those of what crosses before an autoencoder.
    """

    name: str
    shape: tuple[int, ...]
    elements: int
    device_parameters: int
    device_multiplications: int
    cloud_parameters: int
    cloud_multiplications: int
    device: float
    cloud: float
    sent: int | None
    transfer: float | None
    answer: float | None


class Placement(_Part):
    """Every place, in order from the cloud to the device, and what was assumed. ``best``: the soonest answer's."""

    network: str
    picture_shape: tuple[int, int, int]
    threads: int
    slowdown: float
    link: Link | None
    places: tuple[Place, ...]
    best: str | None


def read_link(rate: str, rtt: float) -> Link:
    """Read a link's rate, as 1Mbit/s.

    Raises:
        SettingsError: it is not written so.

    """
    found = re.fullmatch(r"([0-9.]+) ?([kMG]?)bit/s", rate)
    try:
        bits = float(found[1]) * _UNITS[found[2]] if found else 0
    except ValueError:
        bits = 0
    if bits <= 0:
        raise SettingsError(f"link {rate!r} is no rate; write it as 1Mbit/s or 250kbit/s")
    return Link(rate=bits, rtt=rtt)


def place(
    name: str,
    network: nn.Module,
    picture_shape: tuple[int, int, int],
    *,
    link: Link | None = None,
    code_bytes: int | None = None,
    picture_bytes: int | None = None,
    slowdown: float = 1.0,
    passes: int = 10,
) -> Placement:
    """Time every cut of a network on this machine, and work out when answers come.

    Args:
        name: what to call the network.
        network: see ``cuts``.
        picture_shape: channels, rows, columns.
        link: between device and cloud.
        code_bytes: what is sent at a cut; None: the autoencoder's latent, a byte a number, as the quality ``int8``.
        picture_bytes: what a picture takes that is sent itself; None: 1.1 bits a pixel, as a JPEG file of quality 75.
        slowdown: how many times slower the device is than this machine.
        passes: how often it is timed; the median counts.

    Raises:
        SettingsError: the network can't be cut.

    """
    found = cuts(network, picture_shape)
    if not found:
        raise SettingsError(f"network {name!r} has no place that one tensor crosses; choose another")
    fronts, whole = _milliseconds(network, picture_shape, [cut.name for cut in found], passes)
    total = found[0]
    parameters = sum(parameter.numel() for parameter in network.parameters())
    multiplications = total.front.multiplications + total.back.multiplications
    if picture_bytes is None:
        picture_bytes = round(math.prod(picture_shape[1:]) * _JPEG_BITS_PER_PIXEL / 8)

    def measured(
        at: str,
        shape: Sequence[int],
        front: Side,
        back: Side,
        spent: float,
        sent: int | None,
    ) -> Place:
        device, cloud = slowdown * spent, whole - spent
        transfer = None
        if link and sent is not None:
            transfer = link.rtt + 8e3 * sent / link.rate if sent else 0.0
        return Place(
            name=at,
            shape=tuple(shape),
            elements=math.prod(shape),
            device_parameters=front.parameters,
            device_multiplications=front.multiplications,
            cloud_parameters=back.parameters,
            cloud_multiplications=back.multiplications,
            device=device,
            cloud=cloud,
            sent=sent,
            transfer=transfer,
            answer=None if transfer is None else device + transfer + cloud,
        )

    everything = Side(parameters=parameters, multiplications=multiplications)
    nothing = Side(parameters=0, multiplications=0)
    places = (
        measured(PICTURE, picture_shape, nothing, everything, 0.0, picture_bytes),
        *(
            measured(
                cut.name,
                cut.shape,
                cut.front,
                cut.back,
                spent,
                _code_bytes(cut) if code_bytes is None else code_bytes,
            )
            for cut, spent in zip(found, fronts, strict=True)
        ),
        measured(DEVICE, (), everything, nothing, whole, 0),
    )
    answers = {each.answer: each.name for each in reversed(places) if each.answer is not None}
    return Placement(
        network=name,
        picture_shape=picture_shape,
        threads=torch.get_num_threads(),
        slowdown=slowdown,
        link=link,
        places=places,
        best=answers[min(answers)] if answers else None,
    )


def _code_bytes(cut: Cut) -> int | None:
    try:
        return math.prod(latent_shape(cut.shape))
    except SettingsError:  # tokens have no autoencoder
        return None


@torch.inference_mode()
def _milliseconds(
    network: nn.Module, picture_shape: tuple[int, int, int], names: list[str], passes: int
) -> tuple[list[float], float]:
    """Measure the time to each of some cuts, and that of the whole network."""
    ticks: list[float] = []
    network = watched(network.eval(), names, lambda: ticks.append(time.perf_counter()))
    picture = torch.rand(1, *picture_shape)
    network(picture)
    rows = []
    with stage_progress() as progress:
        task = progress.add_task("timing", total=passes, note="")
        for _ in range(passes):
            ticks[:] = [time.perf_counter()]
            network(picture)
            ticks.append(time.perf_counter())
            rows.append([1000 * (tick - ticks[0]) for tick in ticks[1:]])
            progress.update(task, advance=1)
    *fronts, whole = (median(column) for column in zip(*rows, strict=True))
    return fronts, whole


def draw(placement: Placement, file: Path) -> None:
    """Draw a bar for every place: device, transfer, cloud."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second, and is seldom asked for

    places = placement.places
    figure = Figure(figsize=(9, 1.5 + 0.25 * len(places)), layout="constrained")
    axes = figure.add_subplot()
    names, ends = [each.name for each in places], [0.0] * len(places)
    for part in ("device", "transfer", "cloud"):
        widths = [getattr(each, part) or 0.0 for each in places]
        axes.barh(names, widths, left=ends, label=part)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds to an answer" if placement.link else "milliseconds")
    axes.set_title(placement.network + (f", soonest: {placement.best}" if placement.best else ""))
    axes.legend()
    try:
        figure.savefig(file)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"the plot can't be written to {file} ({exc})") from exc
