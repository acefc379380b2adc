"""Bundles whose manifest was written anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from splitwire.shared.bundle import MANIFEST, FileEntry, load_bundle, manifest_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def rewrite_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest's JSON, whether it is a manifest then or not, and its digest."""
    values = json.loads((bundle / MANIFEST).read_text())
    change(values)
    values["digest"] = manifest_digest(values)
    (bundle / MANIFEST).write_text(json.dumps(values))


def rewrite_file(bundle: Path, name: str, content: bytes) -> None:
    """Write one of its files anew; the manifest knows."""
    (bundle / name).write_bytes(content)
    entry = FileEntry.of(content).model_dump()
    rewrite_manifest(bundle, lambda values: values["files"].update({name: entry}))


def rewrite_weights(
    bundle: Path, change: Callable[[str, NDArray[np.floating]], NDArray[np.floating]]
) -> None:
    """Change the default head's weights, given the name and values of each array."""
    loaded = load_bundle(bundle, "device")
    head = loaded.manifest.heads[loaded.manifest.default_head]
    content = b"".join(
        array._replace(values=change(f"{layer.name}.{array.kind}", array.values)).to_bytes()
        for layer in loaded.graph().layers
        for array in layer.arrays
    )
    rewrite_file(bundle, head.weights, content)
