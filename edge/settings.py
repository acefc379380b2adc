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
    cloud's API key. ``timeout``: seconds to wait for an answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path = Field(default_factory=default_bundle_path)
    head: HeadName = "ncnn"
    cloud: str | None = None
    quality: str | None = None
    top: int = Field(default=1, ge=1, le=999_999_999)
    key: str | None = None
    timeout: float = Field(default=10.0, gt=0, le=86_400)
