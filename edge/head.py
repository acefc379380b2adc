"""What runs the first half of the network on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Head(Protocol):
    """A backend for one bundle and quality."""

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run it: prepared picture [3, 224, 224] -> latent [128, 5, 5], both float32."""
        ...
