"""Where torch computes."""

from __future__ import annotations

import torch

from splitwire.shared.cores import usable_cores
from splitwire.shared.errors import SettingsError


def limit_threads() -> None:
    """Let torch use no more threads than this process has cores: its default knows no quota of a cgroup."""
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def choose_device(name: str) -> torch.device:
    """Look a device up: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for CUDA where there is one.

    Raises:
        SettingsError: it is not there.

    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as exc:
        raise SettingsError(f"device {name!r} can't be used here; choose cpu, or auto") from exc
    return device
