"""Everything that is measured, stage by stage; a stopped run goes on where it was."""

from __future__ import annotations

import asyncio
import io
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import httpx
from PIL import Image
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from splitwire.edge.errors import CloudAnswerInvalid, CloudUnreachable
from splitwire.report.measure import footprint, shaped
from splitwire.report.measure.exchanges import (
    Answers,
    FileAnswers,
    open_connection,
    send_all,
    send_frame,
    send_picture,
)
from splitwire.report.measure.features import compute_features
from splitwire.report.measure.frames import Framer
from splitwire.report.measure.on_device import (
    Base,
    FeatureBytes,
    Own,
    base_answers,
    feature_bytes,
    own_answers,
)
from splitwire.report.measure.picture_codecs import Setting
from splitwire.report.measure.picture_codecs import settings as codec_settings
from splitwire.report.measure.scoring import choose, picture_result, quality_result, right_of
from splitwire.report.measure.timing import StageClock, Times
from splitwire.report.page import ways
from splitwire.report.testbed.servers import SPLIT, WHOLE, running
from splitwire.shared.bundle import FALLBACK, load_bundle
from splitwire.shared.errors import SettingsError
from splitwire.shared.messages import Model

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from splitwire.edge.network.connection import Exchange
    from splitwire.models.training.data.pictures import Pictures
    from splitwire.report.progress import Steps
    from splitwire.report.results import Chosen
    from splitwire.report.settings import ReportSettings
    from splitwire.report.work import Work

FEATURES, BASE, OWN, ZSTD = "head", "VGG16 alone", "the device's own classifier", "zstd"
FILES, TIMES, COSTS, LINKS = "pictures as files", "times", "memory and time of the parts", "shaped links"
_SHAPED_BODIES = 20
_LARGEST = "paper"
"""The quality that is sent over shaped links besides the chosen one, where the bundle has it: many packets."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The pictures that are measured; ``coded``, ``timed``: indices of those sent as files, and of those timed."""

    pictures: Pictures
    coded: NDArray[np.int64]
    timed: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All raw results."""

    cloud: str
    base: Base
    own: Own
    feature: FeatureBytes
    qualities: dict[str, Answers]
    files: tuple[FileAnswers, ...]
    """The first is of the files as they are."""
    chosen: Chosen
    times: Times
    costs: footprint.Costs
    shaped: shaped.Measurements


def plan(sample: Sample, qualities: Sequence[str]) -> dict[str, tuple[int, float]]:
    """List the stages: steps of each, and seconds that one takes on a small machine."""
    count = len(sample.pictures)
    return {
        FEATURES: (count, 0.15),
        BASE: (count, 0.004),
        OWN: (count, 0.001),
        ZSTD: (count, 0.002),
        **dict.fromkeys(qualities, (count, 0.008)),
        FILES: ((1 + len(codec_settings())) * len(sample.coded), 0.15),
        TIMES: (len(sample.timed), 0.6),
        COSTS: (len(footprint.PARTS), 4.0),
        LINKS: (shaped.STEPS, 15.0),
    }


class Measuring:
    """One run over one sample."""

    def __init__(
        self, settings: ReportSettings, qualities: Sequence[str], sample: Sample, work: Work, steps: Steps
    ) -> None:
        self._settings, self._qualities, self._sample = settings, qualities, sample
        self._work, self._steps = work, steps
        self._bundle = load_bundle(settings.bundle, "device")
        self._classes = self._bundle.manifest.classes
        self._labels = sample.pictures.labels

    def run(self) -> Measured:
        """Measure all.

        Raises:
            SplitwireError: a picture, the bundle or a cloud can't be used.

        """
        with ExitStack() as stack:
            # As on a device: numpy's BLAS would let its threads wait in a loop, on cores that are being timed.
            stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
            split = self._settings.cloud or stack.enter_context(running(SPLIT, self._settings.bundle))
            whole = stack.enter_context(running(WHOLE, self._settings.bundle))
            cloud = asyncio.run(self._describe(split))
            with self._steps.stage(FEATURES) as advance:
                features, seconds = compute_features(
                    self._work.folder, self._bundle, self._sample.pictures, advance
                )
                self._work.seconds += seconds
            with self._steps.stage(BASE) as advance:
                base = self._work.result(
                    "base", Base, lambda: base_answers(self._settings.bundle, features, advance)
                )
            with self._steps.stage(OWN) as advance:
                own = self._work.result("own", Own, lambda: own_answers(self._bundle, features, advance))
            with self._steps.stage(ZSTD) as advance:
                feature = self._work.result("zstd", FeatureBytes, lambda: feature_bytes(features, advance))
            qualities = {name: self._quality(split, name, features) for name in self._qualities}
            with self._steps.stage(FILES) as advance:
                files = tuple(self._files(whole, advance))
            chosen = self._choose(base, qualities, files)
            with self._steps.stage(TIMES) as advance:
                times = self._work.result(
                    "times", Times, lambda: asyncio.run(self._times(split, whole, chosen, advance))
                )
        with self._steps.stage(COSTS) as advance:
            parts = [part for part in footprint.PARTS if part != FALLBACK or own.classes]
            costs = self._work.result(
                "costs",
                footprint.Costs,
                lambda: footprint.measure_all(self._settings.bundle, parts, advance),
            )
        with self._steps.stage(LINKS) as advance:
            links = self._work.result(
                "links", shaped.Measurements, lambda: self._links(chosen, features, advance)
            )
        return Measured(
            cloud=cloud,
            base=base,
            own=own,
            feature=feature,
            qualities=qualities,
            files=files,
            chosen=chosen,
            times=times,
            costs=costs,
            shaped=links,
        )

    async def _describe(self, url: str) -> str:
        """Say what the cloud computes with, after making sure that it serves every quality."""
        async with open_connection(url, self._classes, self._settings.key) as connection:
            try:
                response = await connection.client.get("/model", headers={"Accept": "application/json"})
                model = Model.model_validate_json(response.content)
            except httpx.RequestError as exc:
                raise CloudUnreachable(url, f"{exc}; is cloud-server running there?") from exc
            except ValidationError as exc:
                raise CloudAnswerInvalid(
                    url, f"HTTP {response.status_code} without a model; check URL and --key"
                ) from exc
        served = {each for bundle in model.bundles for each in bundle.fingerprints.values()}
        for name in self._qualities:
            if f"{self._bundle.manifest.fingerprint(name):08x}" not in served:
                raise SettingsError(
                    f"the cloud at {url} does not serve {name} of this bundle; start it with that"
                )
        place = "on loopback" if self._settings.cloud is None else "another process, named with --cloud"
        return f"{place}, {model.device}, {model.precision}"

    def _quality(self, url: str, name: str, features: NDArray[np.float32]) -> Answers:
        framer = Framer(self._bundle, name)

        async def send(advance: Callable[[int], None]) -> Answers:
            async with open_connection(url, self._classes, self._settings.key) as connection:
                bodies = (framer(feature) for feature in features)
                return await send_all(bodies, lambda body: send_frame(connection, body), advance)

        with self._steps.stage(name) as advance:
            return self._work.result(f"quality-{name}", Answers, lambda: asyncio.run(send(advance)))

    def _files(self, url: str, advance: Callable[[int], None]) -> Iterator[FileAnswers]:
        pictures = self._sample.pictures.subset(self._sample.coded)

        async def send(bodies: Sequence[bytes], media_type: str) -> Answers:
            async with open_connection(url, self._classes) as connection:

                def send_one(body: bytes) -> Awaitable[Exchange]:
                    return send_picture(connection, body, media_type)

                return await send_all(bodies, send_one, advance)

        def as_they_are() -> FileAnswers:
            answers = asyncio.run(send(pictures.files, media_type_of(pictures.files[0])))
            return FileAnswers(codec="", setting="file as it is", answers=answers, bare_bytes=())

        def written(setting: Setting) -> FileAnswers:
            files = [setting.encode(pictures.image(index)) for index in range(len(pictures))]
            return FileAnswers(
                codec=setting.codec,
                setting=setting.name,
                answers=asyncio.run(send([file.data for file in files], setting.media_type)),
                bare_bytes=tuple(file.bare_bytes for file in files),
            )

        yield self._work.result("files", FileAnswers, as_they_are)
        for number, setting in enumerate(codec_settings()):
            yield self._work.result(f"files-{number}", FileAnswers, partial(written, setting))

    def _choose(self, base: Base, qualities: dict[str, Answers], files: Sequence[FileAnswers]) -> Chosen:
        labels, coded = self._labels, self._sample.coded
        right = right_of(base.classes, labels)
        return choose(
            {
                name: quality_result("", each, right, labels, self._classes)
                for name, each in qualities.items()
            },
            [picture_result(each, right[coded], labels[coded], self._classes) for each in files[1:]],
        )

    async def _times(self, split: str, whole: str, chosen: Chosen, advance: Callable[[int], None]) -> Times:
        rewriting = next(each for each in codec_settings() if each.title == chosen.picture)
        pictures = self._sample.pictures.subset(self._sample.timed)
        async with (
            open_connection(split, self._classes, self._settings.key) as split_connection,
            open_connection(whole, self._classes) as whole_connection,
        ):
            clock = StageClock(
                self._settings.bundle, self._qualities, rewriting, split_connection, whole_connection
            )
            return await clock.measure(pictures, media_type_of(pictures.files[0]), advance)

    def _links(
        self, chosen: Chosen, features: NDArray[np.float32], advance: Callable[[int], None]
    ) -> shaped.Measurements:
        loads: dict[str, shaped.Load] = {}
        for name in dict.fromkeys((chosen.quality, _LARGEST)):
            if name in self._qualities:
                framer = Framer(self._bundle, name)
                bodies = tuple(framer(feature) for feature in features[:_SHAPED_BODIES])
                loads[ways.split(name)] = shaped.Load(media_type=None, bodies=bodies)
        files = self._sample.pictures.files[:_SHAPED_BODIES]
        loads[ways.AS_IT_IS] = shaped.Load(media_type=media_type_of(files[0]), bodies=files)
        return shaped.measure(self._settings.bundle, self._classes, loads, self._work.folder, advance)


def media_type_of(data: bytes) -> str:
    """Name the Content-Type of a picture's file."""
    with Image.open(io.BytesIO(data)) as image:
        return image.get_format_mimetype() or "image/unknown"
