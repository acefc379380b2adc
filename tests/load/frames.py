"""Frames of real pictures, as a device sends them."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from splitwire.edge.compute.coder import Coder
from splitwire.edge.compute.ncnn_head import NcnnHead
from splitwire.models.training.data.pictures import balanced_sample, load_pictures
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.frame import Frame, pack
from splitwire.shared.pictures.loading import prepare

PICTURES = 80


def served_qualities() -> list[str]:
    """Name the qualities that are worth measuring: 8 bits, and the learned ones."""
    qualities = load_bundle(default_bundle_path(), "device").manifest.qualities
    return [name for name, quality in qualities.items() if quality.codec not in {"float32", "half"}]


def real_frames(qualities: list[str], pictures: int = 1) -> dict[str, list[bytes]]:
    """Make frames of so many pictures each, by quality: ``PICTURES`` test pictures of the data set in all."""
    data = os.environ.get("SPLITWIRE_DATA")
    if not data:
        sys.exit("set SPLITWIRE_DATA to the data set whose pictures are to be sent")
    bundle = load_bundle(default_bundle_path(), "device")
    found = load_pictures(Path(data), "test")
    head = NcnnHead(bundle)
    coders = {name: Coder(bundle, name) for name in qualities}
    payloads: dict[str, list[bytes]] = {name: [] for name in qualities}
    with stage_progress() as progress:
        task = progress.add_task("the device's half", total=PICTURES, note="")
        for index in balanced_sample(found.labels, PICTURES, seed=0):
            feature = head(prepare(found.image(int(index)), bundle.manifest.preparation))
            for name, coder in coders.items():
                payloads[name].append(coder(feature, math.inf).payload)
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
