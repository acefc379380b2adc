"""Exchanges really measured on shaped links, between two network namespaces of this machine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from statistics import mean
from typing import TYPE_CHECKING

from splitwire.report.measure.exchanges import ask, open_connection
from splitwire.report.results import OnLink
from splitwire.report.statistics import spread
from splitwire.report.testbed.servers import SPLIT, WHOLE, server_command, url_said_by
from splitwire.report.testbed.shaped_link import BURST_BYTES, CLOUD_ADDRESS, INTERFACE, shaped_link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from splitwire.edge.network.connection import Exchange
    from splitwire.report.testbed.shaped_link import ShapedLink

CONDITIONS = {0.0: (10e6, 256e3, 20e3), 25.0: (1e6,)}
"""Milliseconds of delay each way: bits a second."""
STEPS = sum(len(rates) for rates in CONDITIONS.values())
_SECONDS_A_WAY = 4.0
_LEAST, _MOST = 3, 30
_LARGEST_PACKET = 1514
_TO_ALL, _FROM_NOBODY, _FOR_NOBODY = b"\xff" * 6, b"\x02" + bytes(5), b"\x88\xb5"
"""An Ethernet header: destination, source, and a protocol for local experiments (IEEE 802)."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Request bodies of one way; ``media_type``: None where they are frames."""

    media_type: str | None
    bodies: tuple[bytes, ...]


def measure(
    bundle: Path,
    classes: tuple[str, ...],
    loads: Mapping[str, Load],
    advance: Callable[[int], None],
    conditions: Mapping[float, tuple[float, ...]] = CONDITIONS,
) -> tuple[OnLink, ...]:
    """Send every way's bodies over every shaped link."""
    found: list[OnLink] = []
    for delay_ms, rates in conditions.items():
        with shaped_link(rate=round(rates[0]), delay_ms=delay_ms) as link:
            split, whole = (_server(link, module, bundle) for module in (SPLIT, WHOLE))
            for rate in rates:
                link.set_rate(round(rate))
                for way, load in loads.items():
                    url = split if load.media_type is None else whole
                    exchanges = link.device.call(partial(asyncio.run, _send(url, classes, load, rate)))
                    sent = [exchange.wire.sent for exchange in exchanges if exchange.wire is not None]
                    found.append(
                        OnLink(
                            way=way,
                            rate=rate,
                            round_trip_ms=2 * delay_ms,
                            measured=spread([1e3 * exchange.seconds for exchange in exchanges]),
                            sent=mean(sent) if sent else None,
                        )
                    )
                advance(1)
    return tuple(found)


def _server(link: ShapedLink, module: str, bundle: Path) -> str:
    """Start a server at the cloud's end, which the link stops with everything there: its URL for the device's end."""
    open_to_all = ("--open",) if module == SPLIT else ()
    command = server_command(module, bundle, "--host", CLOUD_ADDRESS, *open_to_all)
    process = link.cloud.start(command, stderr=subprocess.PIPE, text=True)
    return f"http://{CLOUD_ADDRESS}:{link.port(int(url_said_by(process).rpartition(':')[2]))}"


async def _send(url: str, classes: tuple[str, ...], load: Load, rate: float) -> list[Exchange]:
    """Send bodies one after the other for a few seconds, from the device's end."""
    exchanges: list[Exchange] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((INTERFACE, 0))
        async with open_connection(url, classes) as connection:
            await ask(connection, load.bodies[0], load.media_type)  # opens the connection
            started = time.monotonic()
            for body in islice(cycle(load.bodies), _MOST):
                if len(exchanges) >= _LEAST and time.monotonic() - started > _SECONDS_A_WAY:
                    break
                await _use_up_allowance(rate, wire)
                exchanges.append(await ask(connection, body, load.media_type))
    return exchanges


async def _use_up_allowance(rate: float, wire: socket.socket) -> None:
    """Leave nothing of what tbf lets pass at once: no real line has that.

    When the allowance has grown to the full burst, packets that nobody reads take all of it.
    """
    await asyncio.sleep(8 * BURST_BYTES / rate)
    for start in range(0, BURST_BYTES, _LARGEST_PACKET):
        size = min(BURST_BYTES - start, _LARGEST_PACKET)
        wire.send((_TO_ALL + _FROM_NOBODY + _FOR_NOBODY).ljust(size, b"\0"))
