"""How fast the model is, as measured."""

from __future__ import annotations

import math

_KEPT = 0.9
"""The weight of all earlier batches beside the latest: ten batches count, the larger the more."""


class Pace:
    """Pictures a second over the last batches."""

    def __init__(self) -> None:
        self._pictures = 0.0
        self._seconds = 0.0

    def add(self, pictures: int, seconds: float) -> None:
        """Note a batch and the time it took."""
        self._pictures = _KEPT * self._pictures + pictures
        self._seconds = _KEPT * self._seconds + seconds

    def whole_seconds(self, pictures: int) -> int:
        """Tell how long so many pictures will take, rounded up; 1 before anything was measured."""
        if not self._pictures:
            return 1
        return max(1, math.ceil(pictures * self._seconds / self._pictures))
