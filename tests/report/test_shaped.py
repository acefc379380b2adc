"""Exchanges over a shaped link, where there can be one: as long as the model says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from splitwire.report.measure import shaped
from splitwire.report.measure.exchanges import Framer
from splitwire.report.testbed.shaped_link import obstacle

if TYPE_CHECKING:
    from splitwire.models.training.data.pictures import Pictures
    from splitwire.report.sample import Sample
    from splitwire.shared.bundle import Bundle

RATE = 64e3


@pytest.mark.slow
def test_a_slow_link_holds_frames_and_pictures_back(device_bundle: Bundle, sample: Sample) -> None:
    if reason := obstacle():
        pytest.skip(reason)
    frame = Framer(device_bundle, "int8")({"cae": np.zeros((128, 5, 5), dtype=np.float32)})
    pictures: Pictures = sample.pictures
    loads = {
        "frame": shaped.Load(media_type=None, bodies=(frame,)),
        "picture": shaped.Load(media_type="image/jpeg", bodies=tuple(pictures.files[:1])),
    }
    found = shaped.measure(device_bundle.path, pictures.classes, loads, lambda _: None, {0.0: (RATE,)})
    by_way = {each.way: each for each in found}
    assert by_way.keys() == loads.keys()
    for way, load in loads.items():
        sent = by_way[way].sent
        assert sent is not None
        assert sent > len(load.bodies[0])
        assert by_way[way].measured.median >= 8e3 * len(load.bodies[0]) / RATE, "not faster than the link"
