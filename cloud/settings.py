"""What a cloud can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from shared.bundle import default_bundle_path


class CloudSettings(BaseModel):
    """Settings of one cloud process.

    ``device``: auto, cpu, cuda or cuda:N. ``key_file``: accepted API keys, one a line; none:
    no key is asked for. ``queue_pictures``: how many may wait for the model. ``batch_pictures``:
    how many it takes at once. ``body_seconds``: how long a request body may take to arrive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: Path = Field(default_factory=default_bundle_path)
    device: str = "auto"
    key_file: Path | None = None
    queue_pictures: int = Field(default=512, ge=64)
    batch_pictures: int = Field(default=64, ge=1)
    body_seconds: float = Field(default=10.0, gt=0)
