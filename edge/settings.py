"""What a device can be told."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from pydantic import BaseModel, ConfigDict, Field

from splitwire.edge.compute.head import HeadName
from splitwire.shared.bundle import default_bundle_path


class DeviceOptions(TypedDict, total=False):
    """``DeviceSettings`` by name, as ``edge.Client`` takes them."""

    bundle: Path | str
    head: HeadName
    low_memory: bool
    cloud: str | None
    quality: str | None
    top: int
    key: str | None
    deadline_ms: float
    fallback: bool
    confident: float | None


class DeviceSettings(BaseModel):
    """Settings of one device.

    ``head``: what runs the convolutions; ``low_memory``: slower, in less memory (ncnn). ``cloud``: URL, as http://host:port; None: a cloud inside this process. ``quality``: None is
    the bundle's default. ``top``: how many of the likeliest classes to ask for. ``key``: the
    cloud's API key. ``deadline_ms``: for one picture, from when it leaves the queue.
    ``fallback``: where the cloud gives no answer in time, the device's own classifier does.
    ``confident``: nothing is sent where that one is at least so sure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)  # it may be a secret

    bundle: Path = Field(default_factory=default_bundle_path)
    head: HeadName = "ncnn"
    low_memory: bool = False
    cloud: str | None = None
    quality: str | None = None
    top: int = Field(default=1, ge=1, le=999_999_999)
    key: str | None = None
    deadline_ms: float = Field(default=10_000, ge=1, le=86_400_000)
    fallback: bool = True
    confident: float | None = Field(default=None, ge=0, le=1)


class WatchSettings(BaseModel):
    """Settings of one watched folder.

    ``record``: the SQLite file; None: ``.splitwire.sqlite`` in the folder. ``once``: end when everything in the
    folder has an answer. ``settle_seconds``: a file is complete when it has not changed for so long.
    ``patience_seconds``: what can't be read for so long is given up until it changes. ``poll_seconds``: between
    looks when the system tells of no changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    record: Path | None = None
    once: bool = False
    settle_seconds: float = Field(default=1, gt=0)
    patience_seconds: float = Field(default=60, ge=0)
    poll_seconds: float = Field(default=5, gt=0)
