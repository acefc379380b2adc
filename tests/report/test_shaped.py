"""Exchanges over a shaped link, where there can be one: as long as the model says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from splitwire.report.measure import shaped
from splitwire.report.measure.frames import Framer
from splitwire.report.testbed.shaped_link import obstacle

if TYPE_CHECKING:
    from pathlib import Path

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.report.measure.run import Sample
    from splitwire.shared.bundle import Bundle

RATE = 64e3


def test_a_slow_link_holds_frames_and_pictures_back(
    device_bundle: Bundle, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := obstacle():
        pytest.skip(reason)
    monkeypatch.setattr(shaped, "CONDITIONS", {0.0: (RATE,)})
    frame = Framer(device_bundle, "int8")(np.zeros((512, 7, 7), dtype=np.float32))
    pictures: Pictures = sample.pictures
    loads = {
        "frame": shaped.Load(media_type=None, bodies=(frame,)),
        "picture": shaped.Load(media_type="image/jpeg", bodies=pictures.files[:1]),
    }
    found = shaped.measure(device_bundle.path, pictures.classes, loads, tmp_path, lambda _: None)
    assert found.obstacle is None
    by_way = {each.way: each for each in found.measured}
    assert by_way.keys() == loads.keys()
    for way, load in loads.items():
        sent = by_way[way].sent
        assert sent is not None
        assert sent > len(load.bodies[0])
        assert by_way[way].milliseconds.median >= 8e3 * len(load.bodies[0]) / RATE, "not faster than the link"
    assert list(tmp_path.iterdir()) == []


def test_without_a_link_the_reason_is_given(
    device_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shaped, "obstacle", lambda: "a shaped link needs root")
    found = shaped.measure(device_bundle.path, (), {}, tmp_path, lambda _: None)
    assert (found.measured, found.obstacle) == ((), "a shaped link needs root")
