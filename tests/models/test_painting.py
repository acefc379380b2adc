"""What a code gives away: SSIM, a painter, and what is written of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from splitwire.models.training.commands import app
from splitwire.models.training.data.pictures import CLASS_ORDER
from splitwire.models.training.painting.painter import Painter, similarity
from splitwire.models.training.painting.paintings import Paintings
from splitwire.shared.command import run

if TYPE_CHECKING:
    from pathlib import Path


def test_similarity_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    pictures = rng.random((3, 32, 32, 3), dtype=np.float32)
    others = (pictures + rng.normal(0, (0, 0.1, 0.5), (32, 32, 3, 3)).transpose(3, 0, 1, 2)).astype(
        np.float32
    )
    expected = [
        metrics.structural_similarity(
            one, other, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )
        for one, other in zip(pictures, others, strict=True)
    ]  # fmt: skip
    found = similarity(*(torch.from_numpy(each).permute(0, 3, 1, 2) for each in (pictures, others)))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_painting_is_a_picture() -> None:
    painted = Painter().eval()(torch.randn(2, 128, 5, 5))
    assert painted.shape == (2, 3, 32, 32)
    assert 0 <= painted.min() <= painted.max() <= 1


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shade of grey a class, with noise: 2 pictures a class to train on, one to test."""
    root = tmp_path_factory.mktemp("shades")
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("test", 1)):
        for label, name in enumerate(CLASS_ORDER):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                noisy = rng.normal(25 * label, 8, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(root / split / name / f"{number}.png")
    return root


def paint(*arguments: object) -> int | str | None:
    try:
        run(lambda: app(["paint", *map(str, arguments)]))
    except SystemExit as exited:
        return exited.code
    return 0


@pytest.mark.slow
def test_painters_are_trained_measured_and_shown(
    shades: Path,
    bundle_copy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("q3", "int8", "--data", shades, "--bundle", bundle_copy, "--run", tmp_path / "run")
    assert paint(*arguments, "--limit", 0, "--epochs", 2) == 0
    found = Paintings.model_validate_json((bundle_copy / "paintings.json").read_bytes())
    assert list(found.qualities) == ["q3", "int8"]
    assert (found.training_pictures, found.accuracy.n, found.settings.epochs) == (20, 10, 2)
    assert found.class_alone.psnr.low > 25, "a class is one shade"
    for each in found.qualities.values():
        assert 0 < each.psnr.low < each.psnr.value < each.psnr.high < found.class_alone.psnr.value
        assert each.ssim.value < 1
        assert each.accuracy.n == each.psnr.n == 10
    printed = capsys.readouterr().out
    assert f"q3       PSNR {found.qualities['q3'].psnr.value:.2f} dB" in printed
    with Image.open(bundle_copy / "paintings.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (4 * 32, 10 * 32, 3)
    for label, name in enumerate(CLASS_ORDER):
        with Image.open(shades / "test" / name / "0.png") as picture:
            np.testing.assert_array_equal(pixels[:32, 32 * label : 32 * label + 32], picture)


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"name": "q9"}, 2, "no quality 'q9'"),
        ({"--limit": "7"}, 2, "--limit=7: 7 is fewer than the 10 classes"),
        ({"--data": "COLOURS"}, 8, "classes are not those of"),
    ],
)
def test_what_can_not_be_painted_is_said_first(
    shades: Path,
    colours: Path,
    bundle_path: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    code: int,
    words: str,
) -> None:
    options = {"--data": str(shades), "--bundle": str(bundle_path), "--limit": "0", **changed}
    name = options.pop("name", "q3")
    values = [colours if value == "COLOURS" else value for pair in options.items() for value in pair]
    assert paint(name, *values) == code
    assert words in capsys.readouterr().err
