"""Where the report was made: machine, versions, commit."""

from __future__ import annotations

import io
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from splitwire.models.training.data.pictures import CLASS_ORDER
from splitwire.shared.cores import usable_cores

if TYPE_CHECKING:
    from splitwire.models.training.data.pictures import Pictures

PACKAGES = (
    "splitwire", "torch", "ncnn", "numpy", "pillow", "httpx", "fastapi", "uvicorn", "zstandard", "matplotlib",
)  # fmt: skip
ORIGINAL_TEST_PICTURES, RAW_BYTES = 10_000, 3 * 32 * 32
_CPUS, _MEMORY = Path("/proc/cpuinfo"), Path("/proc/meminfo")


def processor() -> str:
    """Name the processor."""
    found = re.search(r"^model name\s*:\s*(.+)$", _CPUS.read_text(), re.MULTILINE) if _CPUS.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def threads() -> str:
    """Say how many threads device and cloud compute with."""
    return f"{usable_cores()} for the convolutions on ncnn, {torch.get_num_threads()} for torch, 1 for numpy"


def memory_bytes() -> int | None:
    """Size of the memory; None where the system does not say."""
    found = re.search(r"^MemTotal:\s*(\d+) kB", _MEMORY.read_text()) if _MEMORY.exists() else None
    return 1024 * int(found[1]) if found else None


def system() -> str:
    """Name system and Python."""
    return f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"


def versions() -> dict[str, str]:
    """Look up what is installed of the packages that matter."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str | None:
    """Name the commit of the clone that this runs from, and whether files differ from it; None outside of one."""
    folder = Path(__file__).resolve().parents[2]
    try:
        name = _git(folder, "rev-parse", "HEAD")
        return (
            f"{name}, with changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else name
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def describe_data(pictures: Pictures) -> str:
    """Say in a sentence how these test pictures differ from the original release of CIFAR-10."""
    count, sizes = len(pictures), [len(data) for data in pictures.files]
    with Image.open(io.BytesIO(pictures.files[0])) as image:
        kind, (width, height) = image.format, image.size
    files = f"{count:,} test pictures, {kind} files of {sum(sizes) / count:,.0f} bytes on average"
    if set(pictures.classes) != set(CLASS_ORDER):
        return f"{files}; not CIFAR-10: the first has {width} x {height} pixels."
    original = f"The original release of CIFAR-10 has {ORIGINAL_TEST_PICTURES:,}, as raw pixels of {RAW_BYTES:,} bytes"
    if kind == "PNG":
        return f"{files}. {original}; PNG keeps every pixel of what it is made from."
    return (
        f"{files}. {original}: these were encoded as {kind} since, which loses detail, so that no accuracy here is "
        "exactly comparable with one on the original."
    )


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
