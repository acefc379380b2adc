"""What several tests need: the shipped bundle, the data set, photographs, a running cloud."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.training.data import Pictures, balanced_sample, load_pictures
from shared.bundle import Bundle, default_bundle_path, load_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def bundle_path() -> Path:
    return default_bundle_path()


@pytest.fixture(scope="session")
def device_bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path, "device")


@pytest.fixture(scope="session")
def cloud_bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path, "cloud")


@pytest.fixture
def bundle_copy(bundle_path: Path, tmp_path: Path) -> Path:
    """The shipped bundle, free to be damaged."""
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


@pytest.fixture
def latent() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(128, 5, 5)).astype(np.float32)


@pytest.fixture(scope="session")
def cat() -> Path:
    """A photograph of a cat (Stefan van der Walt, CC0)."""
    skimage = pytest.importorskip("skimage", reason="scikit-image ships the photograph")
    return Path(skimage.__file__).parent / "data" / "chelsea.png"


@pytest.fixture(scope="session")
def data_path() -> Path:
    value = os.environ.get("SPLITWIRE_DATA")
    if not value:
        pytest.skip("SPLITWIRE_DATA does not name a data set")
    return Path(value)


@pytest.fixture(scope="session")
def test_pictures(data_path: Path) -> Pictures:
    return load_pictures(data_path, "test")


@pytest.fixture(scope="session")
def sample(test_pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """200 fixed test pictures as files: name in the data set -> path."""
    chosen = test_pictures.subset(balanced_sample(test_pictures.labels, 200, seed=0))
    folder = tmp_path_factory.mktemp("sample")
    files: dict[str, Path] = {}
    for name, label, data in zip(chosen.names, chosen.labels, chosen.files, strict=True):
        short = f"{chosen.classes[label]}-{Path(name).name}"
        files[short] = folder / short
        files[short].write_bytes(data)
    return files


@contextmanager
def running_cloud(*options: str) -> Iterator[str]:
    """A real ``cloud-server`` process on a free port of loopback; gives its URL."""
    command = [sys.executable, "-m", "cloud.server", "--port", "0", "--log-level", "warning", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "http://" in line, f"cloud-server did not start: {line}{process.stderr.read()}"
            yield line.split()[-1]
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0


@pytest.fixture(scope="session")
def cloud_url() -> Iterator[str]:
    with running_cloud() as url:
        yield url
