"""What runs the network's part on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from splitwire.edge.compute.torch_head import TorchHead
from splitwire.shared.errors import BundleInvalid, GraphInvalid
from splitwire.shared.graph.running import Runner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

HeadName = Literal["ncnn", "torch"]
Head = Callable[["NDArray[np.float32]"], Mapping[str, "NDArray[np.float32]"]]
"""Takes a prepared picture, float32 [3, rows, columns], to outputs by name, each computed when it is asked for."""


def open_head(name: HeadName, bundle: Bundle, outputs: Iterable[str], *, low_memory: bool = False) -> Head:
    """Load a bundle's default head into a backend.

    Args:
        name: of the backend; torch is the reference.
        bundle: with the device's files.
        outputs: those that will be asked for; ncnn loads no other.
        low_memory: for ncnn; less memory, and slower.

    Raises:
        PackagesMissing: the backend is not installed.
        BundleError: the graph can't be used.

    """
    if name == "torch":
        return TorchHead(bundle)
    try:
        return Runner(bundle.graph(low_memory=low_memory).needed(outputs))
    except GraphInvalid as exc:
        raise BundleInvalid(bundle.path, f"its graph: {exc}") from exc
