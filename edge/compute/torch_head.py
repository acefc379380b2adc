"""The head on torch (CPU or CUDA): the reference backend. Imports torch when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.shared.errors import PackagesMissing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


class TorchHead:
    """The convolutions in float32, channels last."""

    def __init__(self, bundle: Bundle) -> None:
        """Load the weights.

        Raises:
            PackagesMissing: torch is not installed.
            BundleError: the weights can't be used.

        """
        try:
            import torch  # noqa: PLC0415

            from splitwire.models.loading import load_convolutions  # noqa: PLC0415
        except ImportError as exc:
            raise PackagesMissing(
                exc.name or "torch", "the torch head", "install it, in a clone with: pip install '.[cloud]'"
            ) from exc
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = load_convolutions(bundle).to(self._device)

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run it: prepared picture [3, 224, 224] -> feature [512, 7, 7], both float32."""
        torch = self._torch
        with torch.inference_mode():
            inputs = torch.from_numpy(picture[None]).to(self._device, memory_format=torch.channels_last)
            feature: NDArray[np.float32] = self._network(inputs)[0].cpu().contiguous().numpy()
        return feature
