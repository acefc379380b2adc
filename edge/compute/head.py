"""What runs the convolutions on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from splitwire.edge.compute.ncnn_head import NcnnHead
from splitwire.edge.compute.torch_head import TorchHead

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

HeadName = Literal["ncnn", "torch"]


class Head(Protocol):
    """A backend with one bundle's convolutions."""

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run it: prepared picture [3, 224, 224] -> feature [512, 7, 7], both float32."""
        ...


def open_head(name: HeadName, bundle: Bundle, *, low_memory: bool = False) -> Head:
    """Load a bundle's convolutions into a backend; ``low_memory`` is for ncnn.

    Raises:
        PackagesMissing: the backend is not installed.
        BundleError: the weights can't be used.

    """
    return TorchHead(bundle) if name == "torch" else NcnnHead(bundle, low_memory=low_memory)
