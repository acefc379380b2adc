"""A report of raw results that were drawn at random."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from splitwire.models.training.data.pictures import CLASS_ORDER, Pictures
from splitwire.report.page.assemble import assemble
from splitwire.report.picture_codecs import settings as codec_settings
from splitwire.report.sample import Sample, take_sample
from splitwire.shared.bundle import Bundle
from splitwire.shared.pictures.decoding import View
from tests.report.drawn import QUALITIES, Drawn, comparison, paintings

if TYPE_CHECKING:
    from splitwire.report.results import Report

PICTURES = 5000


@pytest.fixture(scope="session")
def learned_bundle(device_bundle: Bundle) -> Bundle:
    """The shipped bundle, with learned qualities in its manifest."""
    manifest = device_bundle.manifest
    learned = {
        name: manifest.qualities["paper"].model_copy(update={"id": 16 + place, "codec": "factorised"})
        for place, name in enumerate(name for name in QUALITIES if name not in manifest.qualities)
    }
    qualities = {**manifest.qualities, **learned}
    return replace(device_bundle, manifest=manifest.model_copy(update={"qualities": qualities}))


@pytest.fixture(scope="session")
def sample() -> Sample:
    """As many labels as a data set has, and the same noise for every picture."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    jpeg = next(setting for setting in codec_settings(View(224), 32) if setting.codec == "JPEG")
    file = jpeg.encode(Image.fromarray(noise)).data
    labels = np.repeat(np.arange(10), PICTURES // 10)
    pictures = Pictures(
        classes=CLASS_ORDER,
        names=tuple(f"{index}.jpg" for index in range(PICTURES)),
        labels=labels,
        files=(file,) * PICTURES,
        side=32,
    )
    return take_sample(pictures, limit=None, seed=0)


@pytest.fixture(scope="session")
def drawn_report(learned_bundle: Bundle, sample: Sample) -> Report:
    """A report of everything that there can be."""
    return assemble(
        learned_bundle,
        sample,
        Drawn(sample).measured(),
        comparison(),
        paintings(),
        commit="c0ffee",
        seconds=1500.0,
    )
