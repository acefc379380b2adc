"""How much time one picture has left."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Start the clock."""
        return cls(time.monotonic() + seconds)

    def before(self, seconds: float) -> Deadline:
        """Move it forward: keep some of the time for something else."""
        return Deadline(self.at - seconds)

    def left(self) -> float:
        """Seconds until then, not negative."""
        return max(0.0, self.at - time.monotonic())


NO_DEADLINE = Deadline(math.inf)
