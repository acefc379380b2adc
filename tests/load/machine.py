"""What it is measured on."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("torch", "numpy", "uvicorn", "httptools", "uvloop", "starlette")


def cores() -> tuple[int, int]:
    """Choose the core that serves, and the one that asks."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        sys.exit("two cores are needed: one serves, one asks")
    return usable[0], usable[-1]


def conditions() -> dict[str, str]:
    """Describe processor and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": f"{model or platform.machine()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def forget_most_resident(pid: int) -> None:
    """Have ``most_resident_mib`` begin again."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def most_resident_mib(pid: int) -> float:
    """The most memory that a process has had in RAM so far, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
