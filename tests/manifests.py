"""Bundles whose manifest was written anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from splitwire.shared.bundle import MANIFEST, manifest_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def rewrite_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest's JSON, whether it is a manifest then or not, and its digest."""
    values = json.loads((bundle / MANIFEST).read_text())
    change(values)
    values["digest"] = manifest_digest(values)
    (bundle / MANIFEST).write_text(json.dumps(values))
