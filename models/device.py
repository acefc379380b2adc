"""Where torch computes, and in what precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from splitwire.shared.cores import usable_cores
from splitwire.shared.errors import SettingsError

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Compute:
    """A device, and whether matrix products there are made in bfloat16 (mixed precision)."""

    device: torch.device
    mixed: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Enter mixed precision where it is in use."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.mixed else nullcontext()

    def __str__(self) -> str:
        """Name both, for logs and model cards."""
        return f"{self.device.type}, {'bfloat16 mixed precision' if self.mixed else 'float32'}"


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


def choose_compute(device: str = "auto", precision: Precision = "auto") -> Compute:
    """Take CUDA where there is one; mixed precision on CUDA and on processors with instructions for bfloat16."""
    chosen = choose_device(device)
    limit_threads()
    torch.backends.cudnn.deterministic = True  # the same seed gives the same weights
    processor = torch.cpu.get_capabilities()
    fast = chosen.type == "cuda" or any(processor.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return Compute(device=chosen, mixed=fast if precision == "auto" else precision == "bfloat16")
