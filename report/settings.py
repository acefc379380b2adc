"""What the report can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class ReportSettings(BaseModel):
    """Settings of one report.

    ``data``: the data set; its test pictures are measured. ``out``: the folder to write. ``limit``: how many
    pictures, of every class as many; None: all. ``seed``: of every random choice. ``cloud``: URL of a cloud
    that runs already; None: one is started on loopback. ``key``: its API key. ``qualities``: which; none: all
    that the bundle has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    out: Path
    bundle: Path
    limit: int | None = Field(default=None, ge=1)
    seed: int = 0
    cloud: str | None = None
    key: str | None = None
    qualities: tuple[str, ...] = ()

    @property
    def codec_pictures(self) -> int:
        """How many pictures are sent as files, at most."""
        return 250 if self.limit is None else min(self.limit, 25)

    @property
    def timed_pictures(self) -> int:
        """How many pictures are timed, at most."""
        return 100 if self.limit is None else min(self.limit, 40)
