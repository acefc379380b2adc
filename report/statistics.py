"""Shares, differences of shares, and spreads of times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from splitwire.shared.evaluation import NORMAL_95, Share, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Difference(BaseModel):
    """A share of n pictures less another one of the same n, -1 to 1, with its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    n: int


class Spread(BaseModel):
    """Of n measurements: ``median`` and ``p95``, the 95th percentile."""

    model_config = ConfigDict(frozen=True)

    median: float
    p95: float
    n: int


def share_of(hits: NDArray[np.bool_]) -> Share:
    """Give the share of True with Wilson's interval: [n]."""
    return share(int(hits.sum()), len(hits))


def difference(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Difference:
    """Compare two shares of the same pictures, each picture with itself: [n] and [n].

    The interval is Wald's after half a picture was added to each of the four cells (Agresti and Min:
    Simple improved confidence intervals for comparing matched proportions, 2005).
    """
    n = len(before)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    centre = (won - lost) / (n + 2)
    half = NORMAL_95 * math.sqrt(won + lost + 1 - (won - lost) ** 2 / (n + 2)) / (n + 2)
    return Difference(value=(won - lost) / n, low=max(-1.0, centre - half), high=min(1.0, centre + half), n=n)


def spread(values: Sequence[float]) -> Spread:
    """Sum measurements up."""
    median, p95 = np.percentile(values, (50, 95))
    return Spread(median=float(median), p95=float(p95), n=len(values))
