"""Time phase by phase, one picture at a time, nothing else at work: split, picture sent, device alone."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from splitwire.edge.compute.head import open_head
from splitwire.report.measure.exchanges import Framer, ask
from splitwire.report.measure.features import HEAD
from splitwire.report.results import AS_IT_IS, OWN, PHASES, WHOLE, WayTimes, rewritten, split
from splitwire.report.statistics import spread
from splitwire.report.testbed.whole_network import after_cut
from splitwire.shared.bundle import load_bundle
from splitwire.shared.graph.reading import CLASSES, FEATURE
from splitwire.shared.pictures.decoding import decode
from splitwire.shared.pictures.loading import load_picture, normalise
from splitwire.shared.task import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from splitwire.edge.network.connection import Connection
    from splitwire.models.training.data.pictures import Pictures
    from splitwire.report.picture_codecs import Setting


class Clock:
    """Times pictures one after the other on every way."""

    def __init__(
        self, path: Path, qualities: Sequence[str], rewriting: Setting, cloud: Connection, whole: Connection
    ) -> None:
        """Load the device's half, and for the device alone the classifier too."""
        bundle = load_bundle(path, "device")
        self._preparation = bundle.manifest.preparation
        self._head = open_head(HEAD, bundle, bundle.graph().outputs)
        self._task = task_of(bundle.manifest) if bundle.manifest.fallback else None
        self._after_cut = after_cut(load_bundle(path, "cloud"))
        self._framers = {split(name): Framer(bundle, name) for name in qualities}
        self._rewriting, self._rewritten = rewriting, rewritten(rewriting.title)
        self._cloud, self._whole = cloud, whole
        ways = [*self._framers, AS_IT_IS, self._rewritten, WHOLE]
        if self._task:
            ways.append(OWN)
        self._laps: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in ways}
        """Milliseconds by way and phase."""

    async def measure(
        self, pictures: Pictures, media_type: str, advance: Callable[[int], None]
    ) -> dict[str, WayTimes]:
        """Time every picture on every way; the first one is done twice, so that all is warm.

        Of the two ways that send a picture's file, either comes first for every other picture.
        """
        await self._time(pictures.files[0], media_type)
        for laps in self._laps.values():
            laps.clear()
        for turn, data in enumerate(pictures.files):
            await self._time(data, media_type, as_it_is_first=turn % 2 == 0)
            advance(1)
        return {way: _times(laps) for way, laps in self._laps.items()}

    async def _time(self, data: bytes, media_type: str, *, as_it_is_first: bool = True) -> None:
        with_head = [way for way in self._laps if way not in {AS_IT_IS, self._rewritten}]
        with self._lap("load", with_head):
            seen = decode(data, "picture", self._preparation.view)
            picture = normalise(np.asarray(seen), self._preparation)
        with self._lap("head", with_head):
            outputs = self._head(picture)
            feature = outputs[FEATURE]
        for way, framer in self._framers.items():
            with self._lap("encode", [way]):
                body = framer(outputs)
            await self._exchange(way, self._cloud, body, None)
        if as_it_is_first:
            await self._exchange(AS_IT_IS, self._whole, data, media_type)
        await self._time_rewritten(data)
        if not as_it_is_first:
            await self._exchange(AS_IT_IS, self._whole, data, media_type)
        if self._task:
            with self._lap("tail", [OWN]):
                self._task.prediction(outputs[CLASSES], top=1)
        with self._lap("tail", [WHOLE]):
            self._after_cut(feature).argmax()

    async def _time_rewritten(self, data: bytes) -> None:
        with self._lap("load", [self._rewritten]):
            image = load_picture(data)
        with self._lap("encode", [self._rewritten]):
            file = self._rewriting.encode(image)
        await self._exchange(self._rewritten, self._whole, file.data, self._rewriting.media_type)

    @contextmanager
    def _lap(self, phase: str, ways: Sequence[str]) -> Iterator[None]:
        started = time.perf_counter()
        yield
        for way in ways:
            self._laps[way][phase].append(1e3 * (time.perf_counter() - started))

    async def _exchange(self, way: str, connection: Connection, body: bytes, media_type: str | None) -> None:
        """Take the cloud's own times apart from the rest of an exchange."""
        started = time.perf_counter()
        exchange = await ask(connection, body, media_type)
        whole, round_trip = 1e3 * (time.perf_counter() - started), 1e3 * exchange.seconds
        theirs, laps = exchange.timings_ms, self._laps[way]
        laps["network"].append(max(0.0, round_trip - theirs.decode - theirs.queue - theirs.tail))
        laps["queue"].append(theirs.queue)
        laps["decode"].append(theirs.decode)
        laps["tail"].append(theirs.tail)
        laps["answer"].append(max(0.0, whole - round_trip))


def _times(laps: dict[str, list[float]]) -> WayTimes:
    totals = [sum(each) for each in zip(*laps.values(), strict=True)]
    return WayTimes(
        phases={phase: spread(laps[phase]) for phase in PHASES if phase in laps}, total=spread(totals)
    )
