"""Where a training computes, and in what precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from splitwire.models.device import choose_device, limit_threads

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


def choose_compute(device: str = "auto", precision: Precision = "auto") -> Compute:
    """Take CUDA where there is one; mixed precision on CUDA and on processors with instructions for bfloat16."""
    chosen = choose_device(device)
    limit_threads()
    torch.backends.cudnn.deterministic = True  # the same seed gives the same weights
    processor = torch.cpu.get_capabilities()
    fast = chosen.type == "cuda" or any(processor.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return Compute(device=chosen, mixed=fast if precision == "auto" else precision == "bfloat16")
