"""Initial weights of VGG16's convolutions."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from splitwire.models.errors import TrainingError
from splitwire.models.vgg16 import convolutions

TORCHVISION_WEIGHTS = "IMAGENET1K_FEATURES"
_PREFIX = "features."


def initial_convolutions(weights: str | Path) -> nn.Sequential:
    """Build the convolutions with pre-trained weights.

    Args:
        weights: ``IMAGENET1K_FEATURES`` for torchvision's (fetched once), or a safetensors file
            with torchvision's names (``features.0.weight``, ...).

    """
    network = convolutions()
    state = _of_torchvision() if str(weights) == TORCHVISION_WEIGHTS else _of_file(weights)
    own = {name.removeprefix(_PREFIX): value.float() for name, value in state.items() if _PREFIX in name}
    try:
        network.load_state_dict(own)
    except RuntimeError as exc:
        raise TrainingError(
            f"initial weights {weights} are not those of VGG16's 13 convolutions; "
            f"use {TORCHVISION_WEIGHTS} or a safetensors file with its names"
        ) from exc
    return network


def _of_torchvision() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights  # noqa: PLC0415 - only these weights need it

    try:
        return dict(VGG16_Weights.IMAGENET1K_FEATURES.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as exc:
        raise TrainingError(
            f"torchvision's weights can't be fetched ({exc}); "
            "give --initial-weights a safetensors file instead"
        ) from exc


def _of_file(file: str | Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except FileNotFoundError:
        raise TrainingError(
            f"no initial weights at {file}; give --initial-weights a safetensors file or {TORCHVISION_WEIGHTS}"
        ) from None
    except (SafetensorError, OSError) as exc:
        raise TrainingError(f"initial weights {file} can't be read ({exc}); fetch them again") from exc


def state_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights, as float32 in the order of their names."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode() + value.detach().float().contiguous().cpu().numpy().tobytes())
    return sha.hexdigest()
