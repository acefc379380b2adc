"""What a cloud can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from splitwire.shared.bundle import default_bundle_path
from splitwire.shared.frame import MAX_FRAME_BYTES


class CloudSettings(BaseModel):
    """Settings of one cloud's application.

    ``bundles``: folders; where several can serve a frame, the first does. ``device``: auto, cpu,
    cuda or cuda:N. ``key_file``: accepted API keys, one a line; none: no key is asked for.
    ``queue_pictures``: how many may wait for the model. ``body_bytes``: how much of bodies may be there, from
    their announcement to their answer. Both grow fourfold at most where callers share them: see
    ``splitwire.cloud.inference.admission.Room``. ``body_seconds``: how long a frame may take to arrive.
    ``batch_pictures``: how many pictures the model takes at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundles: tuple[Path, ...] = Field(default_factory=lambda: (default_bundle_path(),), min_length=1)
    device: str = "auto"
    key_file: Path | None = None
    queue_pictures: int = Field(default=512, ge=64)
    body_bytes: int = Field(default=16 << 20, ge=8 * MAX_FRAME_BYTES)
    body_seconds: float = Field(default=10.0, gt=0)
    batch_pictures: int = Field(default=64, ge=1)


class ServerSettings(BaseModel):
    """Settings of the process around it.

    ``host``, ``port``: where to listen; port 0: a free one. ``open_to_all``: serve other machines
    without asking for keys. ``tls_certificate``, ``tls_key``: PEM files, both or neither.
    ``connections``: how many may be open at a time. ``drain_seconds``: how long stopping may take, from the signal to the end of the process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    open_to_all: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    connections: int = Field(default=2048, ge=1)
    drain_seconds: float = Field(default=10.0, ge=1)
