"""How well painters paint: ``paintings.json`` and ``paintings.png`` of a bundle. The painters are not kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from splitwire.models.autoencoder import LATENT_SHAPE, latent_shape
from splitwire.models.device import Compute
from splitwire.models.errors import TrainingError
from splitwire.models.loading import load_head, load_tails
from splitwire.models.training.data.batches import Parts, PictureBatches, outputs
from splitwire.models.training.data.cache import CachedBatches, cache_features
from splitwire.models.training.data.files import as_png
from splitwire.models.training.data.pictures import Pictures
from splitwire.models.training.painting.painter import (
    SIDE,
    Overheard,
    PainterSettings,
    similarity,
    train_painter,
)
from splitwire.models.training.stages.stage import measure
from splitwire.shared.bundle import load_bundle
from splitwire.shared.evaluation import NORMAL_95, Share, share
from splitwire.shared.pictures.decoding import View, square

PAINTINGS, SHEET = "paintings.json", "paintings.png"
_LEAST_ERROR = 1e-9


class Mean(BaseModel):
    """A mean over n pictures with its 95 % interval (normal)."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float
    n: int


class Likeness(BaseModel):
    """How like the pictures some paintings are.

    ``psnr``: decibels. ``accuracy``: how often the uncompressed network finds the picture's class in the painting.
    """

    model_config = ConfigDict(frozen=True)

    psnr: Mean
    ssim: Mean
    accuracy: Share


class Paintings(BaseModel):
    """What codes give away of test pictures that no painter has seen.

    ``class_alone``: of who knows the class and nothing else, and paints the mean of its training pictures.
    ``accuracy``: of the uncompressed network on the pictures themselves. The sheet has the first picture of each
    class, in rows: the pictures, their paintings by quality, the class alone.
    """

    model_config = ConfigDict(frozen=True)

    qualities: dict[str, Likeness]
    class_alone: Likeness
    accuracy: Share
    data_sha256: str
    training_pictures: int
    settings: PainterSettings
    seed: int
    compute: str


def paint_bundle(
    path: Path,
    names: Sequence[str],
    pictures: Parts[Pictures],
    settings: PainterSettings,
    compute: Compute,
    *,
    cache: Path,
    seed: int,
) -> Paintings:
    """Train a painter of each named quality, measure it on the held-out pictures, write both files into the bundle.

    ``cache``: folder for the pictures' features.
    """
    device, cloud = load_bundle(path, "device"), load_bundle(path, "cloud")
    manifest, test = device.manifest, pictures.held_out
    if not pictures.training.classes == test.classes == manifest.classes:
        raise TrainingError(f"the pictures' classes are not those of {path}; take its own data set")
    for name in names:
        device.quality(name)
    if latent_shape(manifest.feature_shape) != LATENT_SHAPE:
        raise TrainingError(
            f"painters are made for latents of {LATENT_SHAPE} numbers, as of the paper's cut; {path} has another"
        )
    convolutions = load_head(device).front
    classifier = load_tails(cloud)[manifest.default_quality].back
    network = nn.Sequential(convolutions, classifier).to(compute.device).eval()

    def features(part: str, pictures: Pictures) -> CachedBatches:
        folder, batches = cache / f"painter-{part}", PictureBatches(pictures, manifest.preparation)
        return cache_features(folder, convolutions, batches, compute=compute, title=f"{part} pictures")

    def classified(pictures: Pictures) -> Share:
        batches = PictureBatches(pictures, manifest.preparation)
        right = measure(network, batches, compute).accuracy
        return share(round(right * len(pictures)), len(pictures))

    def likeness(paintings: Tensor) -> Likeness:
        some, others = paintings / 255, originals / 255
        error = (some - others).square().mean((1, 2, 3)).clamp_min(_LEAST_ERROR)
        files = tuple(as_png(painting.permute(1, 2, 0).numpy()) for painting in paintings)
        return Likeness(
            psnr=_mean(-10 * error.log10()),
            ssim=_mean(similarity(some, others)),
            accuracy=classified(replace(test, files=files)),
        )

    seen, unseen = features("training", pictures.training), features("test", test)
    targets, originals = _pixels(pictures.training), _pixels(test)
    painted = {}
    for name in names:
        overheard = Overheard(seen, device, cloud, name)
        painter = train_painter(overheard, targets, settings, compute, title=f"painter of {name}", seed=seed)
        paintings = torch.cat(list(outputs(painter, Overheard(unseen, device, cloud, name), compute)))
        painted[name] = (255 * paintings).round().byte()
    classes = range(len(manifest.classes))
    means = [
        targets[torch.from_numpy(pictures.training.labels == label)].float().mean(0) for label in classes
    ]
    class_alone = torch.stack(means).round().byte()[torch.from_numpy(test.labels)]

    result = Paintings(
        qualities={name: likeness(each) for name, each in painted.items()},
        class_alone=likeness(class_alone),
        accuracy=classified(test),
        data_sha256=test.digest(),
        training_pictures=len(pictures.training),
        settings=settings,
        seed=seed,
        compute=str(compute),
    )
    shown = [int(np.flatnonzero(test.labels == label)[0]) for label in classes]
    rows = [torch.cat(list(each[shown]), dim=2) for each in (originals, *painted.values(), class_alone)]
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).contiguous()
    Image.fromarray(sheet.numpy()).save(path / SHEET)
    (path / PAINTINGS).write_text(result.model_dump_json(indent=2) + "\n")
    return result


def _pixels(pictures: Pictures) -> Tensor:
    """Bring pictures to a painting's size: [N, 3, 32, 32], uint8."""
    pixels = [np.asarray(square(pictures.image(index), View(SIDE))) for index in range(len(pictures))]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


def _mean(values: Tensor) -> Mean:
    value, half = float(values.mean()), NORMAL_95 * float(values.std(correction=0)) / math.sqrt(len(values))
    return Mean(value=value, low=value - half, high=value + half, n=len(values))
