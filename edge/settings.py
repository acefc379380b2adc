"""What a device can be told. Each field is a flag, an environment variable, a line in the settings file and a Python keyword.

``low_memory`` is ``--low-memory``, ``SPLITWIRE_LOW_MEMORY``, ``low_memory = true`` and ``Client(low_memory=True)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field, field_validator

from splitwire.edge.compute.head import HeadName
from splitwire.shared.bundle import default_bundle_path
from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.regular_file import read_regular
from splitwire.shared.settings import Settings

_MAX_KEY_BYTES = 16_384
"""No cloud takes longer headers."""


class BundleSettings(Settings):
    """Which bundle to use."""

    bundle: Path = Field(default_factory=default_bundle_path, description="Folder of the model bundle.")


class CloudAccess(Settings):
    """Which cloud to use."""

    cloud: str | None = Field(
        default=None,
        description="The cloud's URL, as http://host:port. Without one, a cloud runs inside this process.",
    )
    key: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = Field(
        default=None, description="The cloud's API key; @FILE reads it from a file.", repr=False
    )

    @field_validator("key")
    @classmethod
    def _read_key(cls, key: str | None) -> str | None:
        """Read a key that is given as @FILE."""
        if key is None or not key.startswith("@"):
            return key
        try:
            return read_regular(Path(key[1:]), _MAX_KEY_BYTES)[0].decode("utf-8-sig").strip()
        except OSError as exc:
            raise SettingsError(f"--key {shown(key)} can't be read ({exc.strerror}); write @FILE") from exc
        except UnicodeDecodeError as exc:
            raise SettingsError(f"--key {shown(key)} is no file with a key") from exc


class PullSettings(CloudAccess):
    """Which cloud to fetch from."""

    cloud: str = Field(description="The cloud's URL, as http://host:port.")


class HeadSettings(BundleSettings):
    """What runs the device's half of the network."""

    head: HeadName = Field(
        default="ncnn", description="What runs the device's half of the network; torch is the reference."
    )
    low_memory: bool = Field(default=False, description="Run ncnn in less memory, and more slowly.")


class DeviceSettings(HeadSettings, CloudAccess):
    """How to classify pictures."""

    quality: str | None = Field(
        default=None,
        description="How the code is sent: a quality of the bundle (see info), or auto: what the link carries. "
        "Without it: the bundle's default.",
    )
    top: int = Field(
        default=1, ge=1, le=999_999_999, description="How many of the likeliest classes to give."
    )
    deadline_ms: float = Field(
        default=10_000,
        ge=1,
        le=86_400_000,
        description="Milliseconds for one picture, all tries together.",
    )
    fallback: bool = Field(
        default=True,
        description="Where the cloud gives no answer in time, the device's small classifier does.",
    )
    confident: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Send nothing where the device's classifier is at least so sure.",
    )


class WatchSettings(DeviceSettings):
    """How to watch a folder."""

    quality: str | None = Field(
        default=None,
        description="How the code is sent: a quality of the bundle (see info). Without it: the bundle's default.",
    )
    fallback: bool = Field(
        default=False,
        description="Where the cloud gives no answer in time, the device's small classifier does, for good.",
    )
    outbox: Annotated[Path | None, Parameter(name=("--outbox", "--record"))] = Field(
        default=None,
        description="The SQLite file that keeps pictures and answers, on a local disk. "
        "Without it: .splitwire.sqlite in FOLDER.",
    )
    once: bool = Field(default=False, description="End when everything in FOLDER has an answer.")
    settle: float = Field(
        default=1, gt=0, description="Seconds without a change after which a file is complete."
    )
    patience: float = Field(
        default=60, ge=0, description="Seconds after which a file that is no picture is a failure."
    )
    poll: float = Field(
        default=5,
        gt=0,
        description="Seconds between looks where the system, as a network share, tells of no changes.",
    )
