"""Where the report was made: machine, versions, commit, data."""

from __future__ import annotations

import io
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from splitwire import __version__
from splitwire.report.results import Machine
from splitwire.shared.cores import usable_cores

if TYPE_CHECKING:
    from splitwire.models.training.data.pictures import Pictures

PACKAGES = (
    "torch",
    "timm",
    "ncnn",
    "numpy",
    "pillow",
    "httpx",
    "fastapi",
    "uvicorn",
    "zstandard",
    "matplotlib",
)
ORIGINAL_TEST_PICTURES, RAW_BYTES = 10_000, 3 * 32 * 32


def machine() -> Machine:
    """Describe this machine, and what is installed of the packages that matter."""
    memory = _find(Path("/proc/meminfo"), r"^MemTotal:\s*(\d+) kB")
    return Machine(
        processor=_find(Path("/proc/cpuinfo"), r"^model name\s*:\s*(.+)$")
        or platform.processor()
        or platform.machine(),
        cores=usable_cores(),
        memory_bytes=1024 * int(memory) if memory else None,
        system=f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}",
        threads=f"{usable_cores()} for ncnn, {torch.get_num_threads()} for torch, 1 for numpy",
        versions={"splitwire": __version__, **{package: version(package) for package in PACKAGES}},
    )


def commit() -> str | None:
    """Name the commit of the clone that this runs from, and whether files differ from it; None outside of one."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return _git("rev-parse", "HEAD") + (", with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def describe_data(pictures: Pictures, *, cifar10: bool) -> str:
    """Say what test pictures there are, and of CIFAR-10 how they differ from its original release."""
    kinds, sides, total = set[str](), set[tuple[int, int]](), 0
    for data in pictures.files:
        total += len(data)
        with Image.open(io.BytesIO(data)) as image:
            kinds.add(image.format or "unknown")
            sides.add((min(image.size), max(image.size)))
    count = len(pictures)
    files = f"{count:,} test pictures, {' and '.join(sorted(kinds))} files of {total / count:,.0f} bytes on average"
    if not cifar10:
        least, most = (f"{pixels[0]} x {pixels[1]}" for pixels in (min(sides), max(sides)))
        return f"{files}, of {least} pixels" + (f" to {most}." if least != most else ".")
    first, (kind, *others) = pictures.files[0], kinds
    original = f"The original release of CIFAR-10 has {ORIGINAL_TEST_PICTURES:,}, as raw pixels of {RAW_BYTES:,} bytes"
    if not others and (kind == "PNG" or (kind == "WEBP" and first[12:16] == b"VP8L")):
        return f"{files}. {original}; such a file keeps every pixel of what it is made from."
    return (
        f"{files}. {original}: these were encoded as {' and '.join(sorted(kinds))} since, which loses detail, so that no accuracy here is "
        "exactly comparable with one on the original."
    )


def _find(file: Path, pattern: str) -> str | None:
    found = re.search(pattern, file.read_text(), re.MULTILINE) if file.exists() else None
    return found[1] if found else None


def _git(*arguments: str) -> str:
    folder = Path(__file__).resolve().parent
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
