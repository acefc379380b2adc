"""Cores are counted as the process's affinity and its cgroups' quotas allow them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from splitwire.shared.cores import usable_cores

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


V1 = "sys/fs/cgroup/cpu"
V2 = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "100000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "350000 100000"}, 3),
        ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", f"{V2}/cpu.max": "6400000 100000"}, 8),
        ({"proc/self/cgroup": "0::/a/b c", f"{V2}/a/b c/cpu.max": "400000 100000"}, 4),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                f"{V2}/a/b/cpu.max": "max 100000",
                f"{V2}/a/cpu.max": "200000 100000",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/1\n0::/",
                f"{V1}/docker/1/cpu.cfs_quota_us": "200000",
                f"{V1}/docker/1/cpu.cfs_period_us": "50000",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1",
                f"{V1}/cpu.cfs_quota_us": "200000",
                f"{V1}/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/",
                f"{V1}/cpu.cfs_quota_us": "-1",
                f"{V1}/cpu.cfs_period_us": "100000",
            },
            8,
        ),
    ],
)
def test_a_quota_counts_in_whole_cores_wherever_it_stands(
    tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    write(tmp_path, files)
    assert usable_cores(tmp_path, 8) == cores


def test_without_a_say_of_the_platform_all_cores_are_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores(tmp_path) == os.cpu_count()
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
