"""Frames of real pictures, as a device sends them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from splitwire.edge.compute.coder import Coder
from splitwire.edge.compute.head import open_head
from splitwire.models.training.data.pictures import load_pictures, stratified_sample
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.bundle import default_bundle_path, load_bundle, load_manifest
from splitwire.shared.frame import Frame, pack
from splitwire.shared.pictures.loading import prepare

PICTURES = 80


def served_qualities(bundle: Path | None = None) -> list[str]:
    """Name the qualities that are worth measuring, of the shipped bundle or another: 8 bits, and the learned ones."""
    qualities = load_manifest(bundle or default_bundle_path()).qualities
    return [name for name, quality in qualities.items() if quality.codec not in {"float32", "half"}]


def real_frames(qualities: list[str], pictures: int = 1, path: Path | None = None) -> dict[str, list[bytes]]:
    """Make frames of so many pictures each, by quality: ``PICTURES`` test pictures of the data set in all, or one a class.

    ``path``: of another bundle than the shipped one.
    """
    data = os.environ.get("SPLITWIRE_DATA")
    if not data:
        sys.exit("set SPLITWIRE_DATA to the data set whose pictures are to be sent")
    bundle = load_bundle(path or default_bundle_path(), "device")
    found = load_pictures(Path(data), "test")
    coders = {name: Coder(bundle, name) for name in qualities}
    outputs = {name: coder.outputs[name] for name, coder in coders.items()}
    head = open_head("ncnn", bundle, outputs.values())
    payloads: dict[str, list[bytes]] = {name: [] for name in qualities}
    count = max(PICTURES, len(found.classes))
    with stage_progress() as progress:
        task = progress.add_task("the device's half", total=count, note="")
        for index in stratified_sample(found.labels, count, seed=0, setting="count"):
            made = head(prepare(found.image(int(index)), bundle.manifest.preparation))
            for name, coder in coders.items():
                payloads[name].append(coder.encode(made[outputs[name]], name))
            progress.update(task, advance=1)
    return {
        name: [
            pack(
                Frame(
                    fingerprint=bundle.manifest.fingerprint(name),
                    quality=bundle.manifest.qualities[name].id,
                    payloads=tuple(each[first : first + pictures]),
                )
            )
            for first in range(0, len(each) - pictures + 1, pictures)
        ]
        for name, each in payloads.items()
    }
