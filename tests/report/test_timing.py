"""The order in which ways are timed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from splitwire.edge.network.connection import Exchange
from splitwire.report.measure import timing
from splitwire.report.measure.timing import Clock
from splitwire.report.picture_codecs import settings as codec_settings
from splitwire.report.results import AS_IT_IS, OWN, WHOLE, rewritten, split
from splitwire.shared.messages import Timings
from splitwire.shared.pictures.decoding import View

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.report.sample import Sample

pytestmark = pytest.mark.anyio
EXCHANGE = Exchange(
    predictions=(),
    timings_ms=Timings(decode=0.0, queue=0.0, tail=0.0),
    seconds=0.0,
    wire=None,
    wire_bytes=None,
)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whatever is timed by a clock, by name: no network, no cloud."""
    names: list[str] = []

    async def ask(_: object, __: bytes, media_type: str | None) -> Exchange:
        names.append(media_type or "split")
        return EXCHANGE

    def classifier(_: NDArray[np.float32]) -> NDArray[np.float32]:
        names.append("alone")
        return np.zeros(10, dtype=np.float32)

    def head(_: object) -> dict[str, NDArray[np.float32]]:
        shapes = {"feature": (512, 7, 7), "cae": (128, 5, 5), "classes": (10,)}
        return {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}

    monkeypatch.setattr(timing, "ask", ask)
    monkeypatch.setattr(timing, "open_head", lambda *_: head)
    monkeypatch.setattr(timing, "after_cut", lambda _: classifier)
    return names


async def test_neither_way_to_send_a_picture_is_favoured(
    timed: list[str], bundle_path: Path, sample: Sample
) -> None:
    rewriting = next(setting for setting in codec_settings(View(224), 32) if setting.codec == "WebP")
    cloud: Any = None
    clock = Clock(bundle_path, ["int8"], rewriting, cloud, cloud)
    times = await clock.measure(sample.pictures.subset(np.arange(2)), "image/jpeg", lambda _: None)
    as_it_is, as_webp = "image/jpeg", "image/webp"
    assert timed[4:] == ["split", as_it_is, as_webp, "alone", "split", as_webp, as_it_is, "alone"]
    assert {way: each.total.n for way, each in times.items()} == dict.fromkeys(
        [split("int8"), AS_IT_IS, rewritten(rewriting.title), WHOLE, OWN], 2
    )
