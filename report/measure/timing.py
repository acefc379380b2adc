"""Time stage by stage, one picture at a time, nothing else at work: split, picture sent, device alone."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from splitwire.edge.compute.fallback import Fallback
from splitwire.edge.compute.head import open_head
from splitwire.models.loading import load_tails
from splitwire.report.measure.exchanges import send_frame, send_picture
from splitwire.report.measure.features import HEAD
from splitwire.report.measure.frames import Framer
from splitwire.report.statistics import Spread, spread
from splitwire.shared.bundle import load_bundle
from splitwire.shared.pictures.loading import load_picture, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.edge.network.connection import Connection, Exchange
    from splitwire.models.training.data.pictures import Pictures
    from splitwire.report.measure.picture_codecs import Setting
    from splitwire.shared.bundle import Bundle

STAGES = ("load", "head", "encode", "network", "queue", "decode", "tail", "answer")
BEYOND = ("network", "queue", "decode", "tail")
"""Those that a cloud or the way to it takes, where there is one."""
ON_DEVICE = ("load", "head", "encode", "answer")


class WayTimes(BaseModel):
    """Milliseconds by stage, those of ``STAGES`` that one way has, and their total for each picture."""

    model_config = ConfigDict(frozen=True)

    stages: dict[str, Spread]
    total: Spread

    def sum_of_medians(self, stages: Sequence[str] = STAGES) -> float:
        """Add the medians of some stages up, in milliseconds."""
        return sum(each.median for name, each in self.stages.items() if name in stages)


class Times(BaseModel):
    """Every way's times.

    ``qualities``: split, by quality. ``picture``: its file as it is, to a cloud that runs the whole network;
    ``rewritten``: the same with a file in another setting. ``own``, ``whole``: the device alone, with its
    small classifier, None where it has none, and with the whole network.
    """

    model_config = ConfigDict(frozen=True)

    qualities: dict[str, WayTimes]
    picture: WayTimes
    rewritten: WayTimes
    own: WayTimes | None
    whole: WayTimes


@dataclass
class _Watch:
    """Stop watches of one way's stages, in milliseconds."""

    laps: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def lap(self, stage: str, started: float) -> None:
        self.laps[stage].append(1e3 * (time.perf_counter() - started))

    def exchange(self, exchange: Exchange, started: float) -> None:
        """Take the cloud's own times apart from the rest of an exchange that has just ended."""
        whole, theirs = 1e3 * (time.perf_counter() - started), exchange.timings_ms
        round_trip = 1e3 * exchange.seconds
        self.laps["network"].append(max(0.0, round_trip - theirs.decode - theirs.queue - theirs.tail))
        self.laps["queue"].append(theirs.queue)
        self.laps["decode"].append(theirs.decode)
        self.laps["tail"].append(theirs.tail)
        self.laps["answer"].append(max(0.0, whole - round_trip))

    def times(self) -> WayTimes:
        stages = {stage: self.laps[stage] for stage in STAGES if stage in self.laps}
        totals = [sum(laps) for laps in zip(*stages.values(), strict=True)]
        return WayTimes(stages={stage: spread(laps) for stage, laps in stages.items()}, total=spread(totals))


class StageClock:
    """Times pictures one after the other through every way."""

    def __init__(
        self, path: Path, qualities: Sequence[str], rewriting: Setting, cloud: Connection, whole: Connection
    ) -> None:
        """Load the device's half, and for the device alone the classifier too.

        Raises:
            BundleError: the bundle can't be used.

        """
        self._bundle: Bundle = load_bundle(path, "device")
        self._head = open_head(HEAD, self._bundle)
        self._fallback = Fallback.load(self._bundle)
        tails = load_tails(load_bundle(path, "cloud"))
        self._classifier = tails[self._bundle.manifest.default_quality].classifier
        self._framers = {name: Framer(self._bundle, name) for name in qualities}
        self._rewriting, self._cloud, self._whole = rewriting, cloud, whole
        self._split = {name: _Watch() for name in qualities}
        self._ways = {name: _Watch() for name in ("picture", "rewritten", "own", "whole")}

    async def measure(self, pictures: Pictures, media_type: str, advance: Callable[[int], None]) -> Times:
        """Time every picture; the first one is done twice, so that all is warm.

        Of the two ways that send a picture's file, either comes first for every other picture.

        Raises:
            CloudError: a cloud gives no answer.

        """
        await self._time(pictures.files[0], media_type, 0)
        for watch in (*self._split.values(), *self._ways.values()):
            watch.laps.clear()
        for turn, data in enumerate(pictures.files):
            await self._time(data, media_type, turn)
            advance(1)
        return Times(
            qualities={name: watch.times() for name, watch in self._split.items()},
            picture=self._ways["picture"].times(),
            rewritten=self._ways["rewritten"].times(),
            own=self._ways["own"].times() if self._fallback else None,
            whole=self._ways["whole"].times(),
        )

    async def _time(self, data: bytes, media_type: str, turn: int) -> None:
        loading = [*self._split.values(), self._ways["own"], self._ways["whole"]]
        started = time.perf_counter()
        picture = prepare(load_picture(data), self._bundle.manifest.preparation)
        for watch in loading:
            watch.lap("load", started)
        started = time.perf_counter()
        feature = self._head(picture)
        for watch in loading:
            watch.lap("head", started)
        for name in self._split:
            await self._time_quality(name, feature)
        sent = [partial(self._time_picture, data, media_type), partial(self._time_rewritten, data)]
        for time_sent in reversed(sent) if turn % 2 else sent:
            await time_sent()
        self._time_alone(feature)

    async def _time_quality(self, name: str, feature: NDArray[np.float32]) -> None:
        watch = self._split[name]
        started = time.perf_counter()
        body = self._framers[name](feature)
        watch.lap("encode", started)
        started = time.perf_counter()
        watch.exchange(await send_frame(self._cloud, body), started)

    def _time_alone(self, feature: NDArray[np.float32]) -> None:
        if self._fallback:
            started = time.perf_counter()
            self._fallback(feature, top=1)
            self._ways["own"].lap("tail", started)
        started = time.perf_counter()
        with torch.inference_mode():
            self._classifier(torch.from_numpy(feature[None])).argmax(1)
        self._ways["whole"].lap("tail", started)

    async def _time_picture(self, data: bytes, media_type: str) -> None:
        started = time.perf_counter()
        self._ways["picture"].exchange(await send_picture(self._whole, data, media_type), started)

    async def _time_rewritten(self, data: bytes) -> None:
        watch = self._ways["rewritten"]
        started = time.perf_counter()
        image = load_picture(data)
        watch.lap("load", started)
        started = time.perf_counter()
        file = self._rewriting.encode(image)
        watch.lap("encode", started)
        started = time.perf_counter()
        exchange = await send_picture(self._whole, file.data, self._rewriting.media_type)
        watch.exchange(exchange, started)
