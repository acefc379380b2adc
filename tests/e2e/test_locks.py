"""The exact versions that the images install, against the ranges that people install by."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.containers import ROOT

IMAGES = {
    "cloud": ["torch-${DEVICE}.txt", "cloud.txt"],
    "edge": ["edge.txt"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what the check reads."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def test_the_locks_fit(project: Path) -> None:
    assert check(project) == []


@pytest.mark.parametrize(
    ("package", "locks"),
    [
        ("uvicorn", ["cloud"]),
        ("numpy", ["edge", "cloud"]),
        ("torch", ["torch-cpu", "torch-cuda"]),
    ],
)
def test_a_range_that_moved_is_noticed(project: Path, package: str, locks: list[str]) -> None:
    replace(project / "pyproject.toml", rf'"{package}>=[^"]*"', f'"{package}>=99"')
    assert [line.split()[:2] for line in check(project)] == [
        [f"requirements/{lock}.txt", "has"] for lock in locks
    ]


def test_a_new_dependency_is_noticed(project: Path) -> None:
    replace(project / "pyproject.toml", r'"numpy>=2"', '"numpy>=2", "boltons>=25"')
    assert check(project) == [
        "requirements/edge.txt lacks boltons: make lock",
        "requirements/cloud.txt lacks boltons: make lock",
    ]


def test_a_version_without_a_hash_is_noticed(project: Path) -> None:
    replace(project / "requirements" / "edge.txt", r"(tenacity==\S+) \\\n(    --hash\S+( \\)?\n)+", r"\1\n")
    assert check(project) == ["requirements/edge.txt has tenacity without a version or a hash: make lock"]


def test_two_versions_in_one_image_are_noticed(project: Path) -> None:
    replace(
        project / "requirements" / "torch-cpu.txt", r"typing-extensions==\S+", "typing-extensions==4.10.0"
    )
    (line,) = check(project)
    assert line.startswith("requirements/torch-cpu.txt has typing-extensions 4.10.0, requirements/cloud.txt ")


@pytest.mark.parametrize("image", ["cloud", "edge"])
def test_an_image_installs_nothing_but_what_its_locks_name(image: str) -> None:
    text = (ROOT / image / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"^RUN pip .* install .*", text, re.MULTILINE)
    assert len(installs) == len(IMAGES[image])
    assert all("--require-hashes --only-binary :all: " in line for line in installs)
    assert re.findall(r"^COPY requirements/(\S+) ", text, re.MULTILINE) == IMAGES[image]


def test_the_locks_name_no_index() -> None:
    locks = [path.read_text() for path in (ROOT / "requirements").glob("*.txt")]
    assert len(locks) == 4
    assert not any("://" in lock or "index" in lock for lock in locks)


def check(project: Path) -> list[str]:
    command = [sys.executable, str(ROOT / "scripts" / "check-locks")]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    lines = run.stderr.splitlines()
    assert run.returncode == bool(lines)
    return lines


def replace(path: Path, pattern: str, words: str) -> None:
    text, count = re.subn(pattern, words, path.read_text())
    assert count
    path.write_text(text)
