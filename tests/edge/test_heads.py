"""Every backend makes of a picture what the reference networks make of it."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from splitwire.edge.compute.encoder import Encoder
from splitwire.edge.compute.head import HeadName, open_head
from splitwire.edge.compute.ncnn_head import NcnnHead, _pieces
from splitwire.models.loading import load_convolutions, load_encoder
from splitwire.shared.bundle import Bundle
from splitwire.shared.errors import BundleInvalid, LatentInvalid
from splitwire.shared.pictures.loading import load_picture, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def picture(cat: Path, device_bundle: Bundle) -> NDArray[np.float32]:
    return prepare(load_picture(cat), device_bundle.manifest.preparation)


@pytest.fixture(scope="module")
def feature(picture: NDArray[np.float32], device_bundle: Bundle) -> NDArray[np.float32]:
    with torch.inference_mode():
        reference: NDArray[np.float32] = load_convolutions(device_bundle)(torch.from_numpy(picture[None]))[
            0
        ].numpy()
    return reference


def altered(bundle: Bundle, name: str, values: NDArray[np.generic] | None) -> Bundle:
    """The bundle with one of the convolutions' tensors replaced, or without it."""
    file = next(each for each in bundle.manifest.files.device if "convolutions" in each)
    tensors = {key: value for key, value in bundle.tensors[file].items() if key != name or values is not None}
    if values is not None:
        tensors[name] = values
    return Bundle(path=bundle.path, manifest=bundle.manifest, tensors={**bundle.tensors, file: tensors})


@pytest.mark.parametrize("name", ["ncnn", "torch"])
def test_every_head_makes_the_reference_feature(
    name: HeadName, picture: NDArray[np.float32], feature: NDArray[np.float32], device_bundle: Bundle
) -> None:
    made = open_head(name, device_bundle)(picture)
    assert made.shape == (512, 7, 7)
    assert made.dtype == np.float32
    assert np.corrcoef(made.ravel(), feature.ravel())[0, 1] > 0.999999
    assert np.abs(made - feature).max() < 1e-3 * np.abs(feature).max()


def test_low_memory_makes_the_same_feature(
    picture: NDArray[np.float32], feature: NDArray[np.float32], device_bundle: Bundle
) -> None:
    made = NcnnHead(device_bundle, low_memory=True)(picture)
    assert np.abs(made - feature).max() < 1e-3 * np.abs(feature).max()


def test_ncnns_weights_never_lie_in_a_file(
    device_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    NcnnHead(device_bundle)


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_of_an_odd_number_are_filled_up_as_ncnn_reads_them(channels: int) -> None:
    weight, bias = np.ones((channels, 3, 3, 3), np.float16), np.zeros(channels, np.float32)
    sizes = [piece.nbytes for piece in _pieces(weight, bias)]
    assert sizes == [4, -(-weight.nbytes // 4) * 4, bias.nbytes]


def test_the_encoder_of_every_quality_makes_the_reference_latent(
    feature: NDArray[np.float32], device_bundle: Bundle
) -> None:
    for quality in device_bundle.manifest.qualities:
        with torch.inference_mode():
            reference = load_encoder(device_bundle, quality)(torch.from_numpy(feature[None]))[0].numpy()
        latent = Encoder(device_bundle, quality).latent(feature)
        assert latent.shape == reference.shape == device_bundle.codec(quality).latent_shape
        assert latent.dtype == np.float32
        assert np.allclose(latent, reference, atol=1e-4 * np.abs(reference).max())


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_feature_that_no_picture_has_is_refused_or_clamped(value: float, device_bundle: Bundle) -> None:
    feature = np.full((512, 7, 7), value, dtype=np.float32)
    for quality in device_bundle.manifest.qualities:
        encoder = Encoder(device_bundle, quality)
        if np.isfinite(value):
            assert encoder(feature)
        else:
            with pytest.raises(LatentInvalid, match="not finite"):
                encoder(feature)


@pytest.mark.parametrize("values", [None, np.zeros((64, 3, 5, 5), np.float16)])
def test_other_weights_are_refused_before_ncnn_sees_them(
    device_bundle: Bundle, values: NDArray[np.float16] | None
) -> None:
    with pytest.raises(BundleInvalid, match="copy the bundle again"):
        NcnnHead(altered(device_bundle, "convolutions.0.weight", values))
