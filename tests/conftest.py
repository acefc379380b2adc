"""What several tests need: the shipped bundle, the data set, photographs, a running cloud."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from splitwire.models.training.data.pictures import Pictures, load_pictures
from splitwire.shared.bundle import Bundle, default_bundle_path, load_bundle
from tests.e2e.accuracy import sample_files
from tests.golden import PICTURES
from tests.processes import running_cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


# `make fuzz` uses the profile fuzz. No case is timed: machines are busy.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "fuzz", max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


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
    """Fixed test pictures as files: name in the data set -> path."""
    return sample_files(test_pictures, PICTURES, tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def cloud_url() -> Iterator[str]:
    with running_cloud() as url:
        yield url
