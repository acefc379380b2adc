"""How many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path("/")
_V1_MOUNT, _V2_MOUNT = "sys/fs/cgroup/cpu", "sys/fs/cgroup"


def usable_cores(root: Path = _ROOT, most: int | None = None) -> int:
    """Count the cores that this process may use, at least 1.

    Those that it may run on, where the platform says so, and no more than the CPU quotas of its cgroups pay for;
    a part of a core doesn't count.

    Args:
        root: where /proc and /sys are.
        most: the cores that it may run on; None: ask the platform.

    """
    if most is None:
        most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([most, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Find the quotas, in cores, of the process's cgroup and of those above it, in cgroups of versions 1 and 2."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / (_V1_MOUNT if controllers else _V2_MOUNT)
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
            limit = " ".join(_text(folder / file) for file in files).split()
            if limit and limit[0] not in ("max", "-1"):
                yield int(limit[0]) / int(limit[1])
            if folder == mount:
                break


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
