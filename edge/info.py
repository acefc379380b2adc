"""What a bundle offers: its qualities, their bytes and how often they were right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from shared.bundle import load_manifest
from shared.evaluation import BASE, DEVICE, Share, load_evaluation

if TYPE_CHECKING:
    from pathlib import Path

    from shared.evaluation import Score


class QualityInfo(BaseModel):
    """One quality. What was not measured is null.

    ``body_bytes``: mean request body of one picture. ``fingerprint``: as on the wire, hexadecimal.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    id: int
    codec: str
    fingerprint: str
    default: bool
    body_bytes: float | None
    accuracy: Share | None


class BundleInfo(BaseModel):
    """A bundle; qualities from the fewest bytes to the most. ``base_accuracy``: without compression.

    ``device_accuracy``: of the device's own small classifier.
    """

    model_config = ConfigDict(frozen=True)

    bundle: str
    classes: tuple[str, ...]
    pictures_measured: int | None
    base_accuracy: Share | None
    device_accuracy: Share | None
    qualities: tuple[QualityInfo, ...]


def describe(path: Path) -> BundleInfo:
    """Read a bundle's manifest and evaluation.

    Raises:
        BundleError: one of them can't be used.

    """
    manifest, evaluation = load_manifest(path), load_evaluation(path)
    scores: dict[str, Score] = evaluation.scores if evaluation else {}
    qualities = [
        QualityInfo(
            name=name,
            id=quality.id,
            codec=quality.codec,
            fingerprint=f"{manifest.fingerprint(name):08x}",
            default=name == manifest.default_quality,
            body_bytes=scores[name].body_bytes if name in scores else None,
            accuracy=scores[name].accuracy if name in scores else None,
        )
        for name, quality in manifest.qualities.items()
    ]
    return BundleInfo(
        bundle=manifest.id,
        classes=manifest.classes,
        pictures_measured=evaluation.pictures if evaluation else None,
        base_accuracy=scores[BASE].accuracy if BASE in scores else None,
        device_accuracy=scores[DEVICE].accuracy if DEVICE in scores else None,
        qualities=tuple(sorted(qualities, key=lambda quality: quality.body_bytes or 0)),
    )
