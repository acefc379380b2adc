"""Exchanges really measured on shaped links, between two network namespaces of this machine.

The device's end runs in its namespace: python -m report.shaped JOB, which prints what it measured.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel, ConfigDict

from report.exchanges import open_connection, send_frame, send_picture
from report.link import CLOUD_ADDRESS, slow_link
from report.servers import SPLIT, WHOLE, running
from report.statistics import Spread, spread
from shared.command import command_group, run
from shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from report.link import Link

CONDITIONS = {0.0: (10e6, 256e3, 20e3), 25.0: (1e6,)}
"""Milliseconds of delay each way: bits a second."""
_SECONDS_A_WAY = 4.0
_LEAST, _MOST = 3, 30

app = command_group("Measure exchanges from a device's end of a link.")


class Load(BaseModel):
    """Request bodies of one way; ``media_type``: None where they are frames."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    media_type: str | None
    bodies: tuple[bytes, ...]


class Job(BaseModel):
    """What the device's end is to send, and where."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    classes: tuple[str, ...]
    split_url: str
    whole_url: str
    loads: dict[str, Load]


class Measured(BaseModel):
    """Milliseconds of the exchanges of one way at one rate (bits a second) and round trip."""

    model_config = ConfigDict(frozen=True)

    way: str
    rate: float
    round_trip_ms: float
    milliseconds: Spread


class Measurements(BaseModel):
    """All of them; without any, ``obstacle`` says why."""

    model_config = ConfigDict(frozen=True)

    measured: tuple[Measured, ...] = ()
    obstacle: str | None = None


class _Exchanges(BaseModel):
    """Milliseconds by way."""

    milliseconds: dict[str, list[float]]


def measure(
    bundle: Path, classes: tuple[str, ...], loads: dict[str, Load], folder: Path, advance: Callable[[int], None]
) -> Measurements:
    """Send every way's bodies over every shaped link; ``folder`` keeps the job for a moment.

    Raises:
        SettingsError: a server or the device's end failed.

    """
    measured: list[Measured] = []
    try:
        for delay_ms, rates in CONDITIONS.items():
            with slow_link(rate=round(rates[0]), delay_ms=delay_ms) as link, ExitStack() as stack:
                urls = [
                    _reached(link, stack.enter_context(_server(link, module, bundle)))
                    for module in (SPLIT, WHOLE)
                ]
                job = Job(classes=classes, split_url=urls[0], whole_url=urls[1], loads=loads)
                for rate in rates:
                    link.set_rate(round(rate))
                    for way, milliseconds in _run(link, job, folder / "job.json").items():
                        measured.append(
                            Measured(
                                way=way,
                                rate=rate,
                                round_trip_ms=2 * delay_ms,
                                milliseconds=spread(milliseconds),
                            )
                        )
                    advance(1)
    except OSError as exc:
        return Measurements(obstacle=str(exc))
    return Measurements(measured=tuple(measured))
