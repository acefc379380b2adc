"""Every backend makes of a picture what the reference networks make of it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from splitwire.edge.compute.coder import Coder
from splitwire.edge.compute.head import HeadName, open_head
from splitwire.models.loading import load_head
from splitwire.shared.errors import BundleInvalid, LatentInvalid
from splitwire.shared.pictures.loading import load_picture, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


@pytest.fixture(scope="module")
def picture(cat: Path, device_bundle: Bundle) -> NDArray[np.float32]:
    return prepare(load_picture(cat), device_bundle.manifest.preparation)


@pytest.fixture(scope="module")
def expected(picture: NDArray[np.float32], device_bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    head = load_head(device_bundle)
    with torch.inference_mode():
        outputs = head(torch.from_numpy(picture[None]))
    return {name: output[0].numpy() for name, output in zip(head.names, outputs, strict=True)}


@pytest.mark.parametrize(("name", "low_memory"), [("ncnn", False), ("ncnn", True), ("torch", False)])
def test_every_head_makes_the_reference_outputs(
    name: HeadName,
    low_memory: bool,  # noqa: FBT001 - a case
    picture: NDArray[np.float32],
    expected: dict[str, NDArray[np.float32]],
    device_bundle: Bundle,
) -> None:
    assert expected.keys() == {"feature", "cae", "q1", "q2", "q3", "classes"}
    outputs = open_head(name, device_bundle, expected, low_memory=low_memory)(picture)
    for output, values in expected.items():
        assert outputs[output].shape == values.shape
        assert outputs[output].dtype == np.float32
        assert np.abs(outputs[output] - values).max() < 1e-3 * np.abs(values).max()


def test_what_is_not_asked_for_is_not_loaded(device_bundle: Bundle, picture: NDArray[np.float32]) -> None:
    outputs = open_head("ncnn", device_bundle, ["cae"])(picture)
    assert outputs["cae"].shape == (128, 5, 5)
    with pytest.raises(KeyError):
        outputs["q1"]


def test_ncnns_weights_never_lie_in_a_file(
    device_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    open_head("ncnn", device_bundle, ["cae"])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_latent_that_no_picture_has_is_refused_or_clamped(value: float, device_bundle: Bundle) -> None:
    for name, quality in device_bundle.manifest.qualities.items():
        coder, latent = Coder(device_bundle, name), np.full(quality.latent_shape, value, dtype=np.float32)
        if np.isfinite(value):
            assert coder.encode(latent, name)
        else:
            with pytest.raises(LatentInvalid, match="not finite"):
                coder.encode(latent, name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0=224 1=224 2=3", b"0=32 1=32 2=3"),
        (b" classes 0=10 ", b" classes 0=9 "),
        (b"InnerProduct", b"Interp"),
        (b" cae 0=128", b" cod 0=128"),
    ],
)
def test_another_graph_is_refused_before_ncnn_sees_it(device_bundle: Bundle, old: bytes, new: bytes) -> None:
    data = {
        name: content.replace(old, new) if name.endswith(".param") else content
        for name, content in device_bundle.data.items()
    }
    with pytest.raises(BundleInvalid, match="copy the bundle again"):
        open_head("ncnn", replace(device_bundle, data=data), ["cae"])
