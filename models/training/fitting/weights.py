"""Initial weights of VGG16's convolutions."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from splitwire.models.errors import TrainingError
from splitwire.models.vgg16 import convolutions

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

TORCHVISION_WEIGHTS = "IMAGENET1K_FEATURES"
_PREFIX = "features."


def initial_convolutions(source: str | Path) -> nn.Sequential:
    """Build the convolutions with pre-trained weights.

    Args:
        source: ``IMAGENET1K_FEATURES`` for torchvision's (fetched once), or a safetensors file
            with torchvision's names (``features.0.weight``, ...).

    Raises:
        TrainingError: the weights are absent, unreadable or of another network.

    """
    network = convolutions()
    state = _torchvision_state() if str(source) == TORCHVISION_WEIGHTS else _file_state(source)
    own = {name.removeprefix(_PREFIX): value.float() for name, value in state.items() if _PREFIX in name}
    try:
        network.load_state_dict(own)
    except RuntimeError as exc:
        raise TrainingError(
            f"initial weights {source} are not those of VGG16's 13 convolutions; "
            f"use {TORCHVISION_WEIGHTS} or a safetensors file with its names"
        ) from exc
    return network.to(memory_format=torch.channels_last)


def state_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights, as float32 in the order of their names."""
    sha = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode() + value.detach().float().contiguous().cpu().numpy().tobytes())
    return sha.hexdigest()


def _torchvision_state() -> dict[str, torch.Tensor]:
    from torchvision.models import VGG16_Weights  # noqa: PLC0415 - only this source needs it

    try:
        return dict(VGG16_Weights.IMAGENET1K_FEATURES.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as exc:
        raise TrainingError(
            f"torchvision's weights can't be fetched ({exc}); "
            "give --initial-weights a safetensors file instead"
        ) from exc


def _file_state(source: str | Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(source)
    except FileNotFoundError:
        raise TrainingError(
            f"no initial weights at {source}; give --initial-weights a safetensors file or {TORCHVISION_WEIGHTS}"
        ) from None
    except (SafetensorError, OSError) as exc:
        raise TrainingError(f"initial weights {source} can't be read ({exc}); fetch them again") from exc
