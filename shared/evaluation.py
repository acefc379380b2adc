"""``evaluation.json`` of a bundle: what was measured when it was released."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from splitwire.shared.bundle import MAX_MANIFEST_BYTES, read_bundle_file
from splitwire.shared.errors import BundleInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EVALUATION = "evaluation.json"
BASE = "base"
"""The name of the whole network, without compression."""
DEVICE = "device"
"""The name of the device's own small classifier."""

_READABLE, _WORST = 20, 10

NORMAL_95 = 1.959964
"""The normal distribution's 97.5 % point."""


class Share(BaseModel):
    """A share of n pictures, 0 to 1, with its 95 % interval (Wilson, 1927)."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    n: int


class Score(BaseModel):
    """How often one way through the network is right.

    ``by_class``: of very many classes, only the worst ones. ``body_bytes``: mean of a frame of one picture.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: Share
    by_class: dict[str, Share]
    body_bytes: float | None = None
    agreement_with_base: Share


class Evaluation(BaseModel):
    """A bundle's scores on one set of pictures, by quality; ``base`` is the uncompressed network."""

    model_config = ConfigDict(frozen=True)

    pictures: int
    data_sha256: str
    scores: dict[str, Score]
    int8_agreement_with_paper: Share | None = None


def shown_classes(by_class: Mapping[str, Share]) -> list[str]:
    """Choose the classes of a table that can be read: all, or of over 20 the 10 that are right least often."""
    if len(by_class) <= _READABLE:
        return list(by_class)
    return sorted(by_class, key=lambda name: by_class[name].value)[:_WORST]


def share(hits: int, n: int) -> Share:
    """Compute a share with Wilson's score interval."""
    p, z = hits / n, NORMAL_95
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Share(value=p, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def load_evaluation(path: Path) -> Evaluation | None:
    """Read a bundle's evaluation; None where it has none.

    Raises:
        BundleError: the file can't be read, or is not an evaluation.

    """
    try:
        return Evaluation.model_validate_json(read_bundle_file(path, EVALUATION, MAX_MANIFEST_BYTES))
    except FileNotFoundError:
        return None
    except ValidationError as exc:
        raise BundleInvalid(path, f"{EVALUATION} can't be read; copy the bundle again") from exc
