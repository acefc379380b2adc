"""Exchanges really measured on shaped links, between two network namespaces of this machine.

The device's end runs in its namespace: python -m splitwire.report.measure.shaped JOB, which prints what it measured.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel, ConfigDict

from splitwire.report.measure.exchanges import open_connection, send_frame, send_picture
from splitwire.report.statistics import Spread, spread
from splitwire.report.testbed.servers import SPLIT, WHOLE, server_command, url_said_by
from splitwire.report.testbed.shaped_link import BURST_BYTES, CLOUD_ADDRESS, INTERFACE, obstacle, slow_link
from splitwire.shared.command import command_group, run
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from splitwire.edge.network.connection import Exchange
    from splitwire.report.testbed.shaped_link import Link

CONDITIONS = {0.0: (10e6, 256e3, 20e3), 25.0: (1e6,)}
"""Milliseconds of delay each way: bits a second."""
STEPS = sum(len(rates) for rates in CONDITIONS.values())
_SECONDS_A_WAY = 4.0
_LEAST, _MOST = 3, 30
_LARGEST_PACKET = 1514
_TO_ALL, _FROM_NOBODY, _FOR_NOBODY = b"\xff" * 6, b"\x02" + bytes(5), b"\x88\xb5"
"""An Ethernet header: destination, source, and a protocol for local experiments (IEEE 802)."""

app = command_group("Measure exchanges from a device's end of a link.")


class Load(BaseModel):
    """Request bodies of one way; ``media_type``: None where they are frames."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    media_type: str | None
    bodies: tuple[bytes, ...]


class Job(BaseModel):
    """What the device's end is to send, and where; ``rate``: of the link, bits a second."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    classes: tuple[str, ...]
    split_url: str
    whole_url: str
    rate: float
    loads: dict[str, Load]


class Measured(BaseModel):
    """Exchanges of one way at one rate (bits a second) and round trip.

    ``sent``: bytes a picture by the socket's count, what TCP had to send again included; None where unknown.
    """

    model_config = ConfigDict(frozen=True)

    way: str
    rate: float
    round_trip_ms: float
    milliseconds: Spread
    sent: float | None


class Measurements(BaseModel):
    """All of them; without any, ``obstacle`` says why."""

    model_config = ConfigDict(frozen=True)

    measured: tuple[Measured, ...] = ()
    obstacle: str | None = None


class _Exchanges(BaseModel):
    """Of one way: milliseconds, and bytes that the socket sent."""

    milliseconds: list[float]
    sent: list[int]


class _Ways(BaseModel):
    """By way."""

    ways: dict[str, _Exchanges]


def measure(
    bundle: Path,
    classes: tuple[str, ...],
    loads: dict[str, Load],
    folder: Path,
    advance: Callable[[int], None],
) -> Measurements:
    """Send every way's bodies over every shaped link; ``folder`` keeps the job for a moment.

    Raises:
        SettingsError: a server or the device's end failed.

    """
    if reason := obstacle():
        return Measurements(obstacle=reason)
    measured: list[Measured] = []
    for delay_ms, rates in CONDITIONS.items():
        with slow_link(rate=round(rates[0]), delay_ms=delay_ms) as link:
            split_url, whole_url = (_server(link, module, bundle) for module in (SPLIT, WHOLE))
            for rate in rates:
                link.set_rate(round(rate))
                job = Job(classes=classes, split_url=split_url, whole_url=whole_url, rate=rate, loads=loads)
                measured += [
                    Measured(
                        way=way,
                        rate=rate,
                        round_trip_ms=2 * delay_ms,
                        milliseconds=spread(exchanges.milliseconds),
                        sent=mean(exchanges.sent) if exchanges.sent else None,
                    )
                    for way, exchanges in _run(link, job, folder / "job.json").items()
                ]
                advance(1)
    return Measurements(measured=tuple(measured))


def _server(link: Link, module: str, bundle: Path) -> str:
    """Start a server at the cloud's end, which the link stops with everything there: its URL for the device's end."""
    open_to_all = ("--open",) if module == SPLIT else ()
    command = server_command(module, bundle, "--host", CLOUD_ADDRESS, *open_to_all)
    process = link.cloud.start(command, stderr=subprocess.PIPE, text=True)
    return f"http://{CLOUD_ADDRESS}:{link.port(int(url_said_by(process).rpartition(':')[2]))}"


def _run(link: Link, job: Job, file: Path) -> dict[str, _Exchanges]:
    file.write_text(job.model_dump_json())
    command = [sys.executable, "-m", "splitwire.report.measure.shaped", str(file)]
    done = link.device.run(command, capture_output=True, text=True)
    file.unlink()
    if done.returncode:
        raise SettingsError(f"the link could not be measured: {done.stderr.strip()}")
    return _Ways.model_validate_json(done.stdout).ways


@app.command()
def command(job: Annotated[Path, typer.Argument(help="What to send, a JSON file.")]) -> None:
    """Send every way's bodies one after the other for a few seconds; print what that took as JSON."""
    typer.echo(asyncio.run(_send(Job.model_validate_json(job.read_bytes()))).model_dump_json())


async def _send(job: Job) -> _Ways:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((INTERFACE, 0))
        return _Ways(ways={way: await _send_way(job, load, wire) for way, load in job.loads.items()})


async def _send_way(job: Job, load: Load, wire: socket.socket) -> _Exchanges:
    exchanges: list[Exchange] = []
    url = job.split_url if load.media_type is None else job.whole_url
    async with open_connection(url, job.classes) as connection:

        async def send(body: bytes) -> Exchange:
            if load.media_type is None:
                return await send_frame(connection, body)
            return await send_picture(connection, body, load.media_type)

        await send(load.bodies[0])  # opens the connection
        started = time.monotonic()
        for body in islice(cycle(load.bodies), _MOST):
            if len(exchanges) >= _LEAST and time.monotonic() - started > _SECONDS_A_WAY:
                break
            await _use_up_allowance(job.rate, wire)
            exchanges.append(await send(body))
    wires = [exchange.wire for exchange in exchanges if exchange.wire is not None]
    return _Exchanges(
        milliseconds=[1e3 * exchange.seconds for exchange in exchanges], sent=[each.sent for each in wires]
    )


async def _use_up_allowance(rate: float, wire: socket.socket) -> None:
    """Leave nothing of what tbf lets pass at once: no real line has that.

    When the allowance has grown to the full burst, packets that nobody reads take all of it.
    """
    await asyncio.sleep(8 * BURST_BYTES / rate)
    left = BURST_BYTES
    while left > 0:
        size = min(left, _LARGEST_PACKET)
        wire.send((_TO_ALL + _FROM_NOBODY + _FOR_NOBODY).ljust(size, b"\0"))
        left -= size


if __name__ == "__main__":
    run(app)
