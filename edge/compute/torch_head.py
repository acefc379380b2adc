"""The head on torch (CPU or CUDA): the reference backend. Imports torch when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.shared.errors import PackagesMissing
from splitwire.shared.graph.reading import FEATURE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from splitwire.shared.bundle import Bundle


class TorchHead:
    """The networks of the graph in float32, channels last."""

    def __init__(self, bundle: Bundle) -> None:
        """Build them with the graph's weights.

        Raises:
            PackagesMissing: torch is not installed.
            BundleError: the weights can't be used.

        """
        try:
            import torch  # noqa: PLC0415

            from splitwire.models.loading import load_head  # noqa: PLC0415
        except ImportError as exc:
            raise PackagesMissing(
                exc.name or "torch", "the torch head", "install it, in a clone with: pip install '.[cloud]'"
            ) from exc
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._head = load_head(bundle).to(self._device)

    def __call__(self, picture: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Take a prepared picture, float32 [3, rows, columns], to outputs that are computed when they are asked for."""
        torch = self._torch
        with torch.inference_mode():
            inputs = torch.from_numpy(picture[None]).to(self._device, memory_format=torch.channels_last)
            feature = self._head.front(inputs)

        def compute(name: str) -> NDArray[np.float32]:
            with torch.inference_mode():
                output: Tensor = feature if name == FEATURE else self._head.outputs[name](feature)
                values: NDArray[np.float32] = output[0].cpu().contiguous().numpy()
            return values

        return _Outputs(compute)


class _Outputs(dict[str, "NDArray[np.float32]"]):
    def __init__(self, compute: Callable[[str], NDArray[np.float32]]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, name: str) -> NDArray[np.float32]:
        self[name] = self._compute(name)
        return self[name]
