"""A watched folder: pictures for it, and what its outbox says."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def put_picture(path: Path, seed: int) -> Path:
    """Write a small picture beside its place, and rename it in when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    unfinished = path.with_name(f"{path.name}.part")
    Image.fromarray(pixels).save(unfinished, "PNG")
    return unfinished.rename(path)


def rows(folder: Path, query: str = "SELECT * FROM pictures ORDER BY path") -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{folder / '.splitwire.sqlite'}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


def states(folder: Path) -> dict[str, str]:
    return {Path(row["path"]).name: row["state"] for row in rows(folder)}


class FullDisk(sqlite3.Connection):
    """A database on a disk with room for a few pages."""

    def __init__(self, database: Path, *, timeout: float, isolation_level: None) -> None:
        super().__init__(database, timeout=timeout, isolation_level=isolation_level)
        self.execute("PRAGMA max_page_count = 12")
