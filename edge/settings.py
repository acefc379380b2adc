"""What a device can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edge.head import HeadName
from shared.bundle import default_bundle_path


class DeviceSettings(BaseModel):
    """Settings of one device.

    ``head``: what runs the convolutions. ``cloud``: URL, as http://host:port; None: a cloud inside this process. ``quality``: None is
    the bundle's default. ``top``: how many of the likeliest classes to ask for. ``key``: the
    cloud's API key. ``deadline_ms``: for one picture, from when it leaves the queue.
    ``fallback``: where the cloud gives no answer in time, the device's own classifier does.
    ``confident``: nothing is sent where that one is at least so sure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path = Field(default_factory=default_bundle_path)
    head: HeadName = "ncnn"
    cloud: str | None = None
    quality: str | None = None
    top: int = Field(default=1, ge=1, le=999_999_999)
    key: str | None = None
    deadline_ms: float = Field(default=10_000, ge=1, le=86_400_000)
    fallback: bool = True
    confident: float | None = Field(default=None, ge=0, le=1)
