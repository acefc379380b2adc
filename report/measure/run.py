"""Everything that is measured, step by step; a stopped run goes on where it was."""

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
from splitwire.report.measure.exchanges import Framer, ask_all, open_connection
from splitwire.report.measure.features import base_answers, compute_outputs, feature_bytes, own_answers
from splitwire.report.measure.scoring import Scorer, decide, right_of, score_all
from splitwire.report.measure.timing import Clock
from splitwire.report.results import (
    AS_IT_IS,
    PAPER,
    Answers,
    Cost,
    FeatureBytes,
    OnLink,
    Scores,
    Sent,
    WayTimes,
    split,
)
from splitwire.report.sample import beside_paper
from splitwire.report.testbed.servers import SPLIT, WHOLE, running
from splitwire.report.testbed.shaped_link import obstacle
from splitwire.shared.bundle import load_bundle
from splitwire.shared.errors import SettingsError
from splitwire.shared.messages import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from splitwire.report.picture_codecs import Setting
    from splitwire.report.sample import Sample
    from splitwire.report.steps import Steps

FEATURES, BASE, OWN, ZSTD = "head", "uncompressed", "the device's own classifier", "zstd"
FILES, DECIDING = "pictures as files", "the smallest files"
TIMES, COSTS, LINKS = "times", "memory and time of the parts", "shaped links"
_CONTENDERS = 10
"""How many settings are likely to be measured on more pictures."""
_SHAPED_BODIES = 20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that was measured.

    ``cloud``: what it computes with; ``cloud_here``: it was started here. ``obstacle``: why there are no shaped links.
    """

    cloud: str
    cloud_here: bool
    scores: Scores
    feature: FeatureBytes
    times: dict[str, WayTimes]
    costs: dict[str, Cost]
    on_links: tuple[OnLink, ...]
    obstacle: str | None


def forecast(
    sample: Sample, qualities: Sequence[str], settings: Sequence[Setting]
) -> dict[str, tuple[int, float]]:
    """List the steps: units of each, and seconds that one takes on a small machine."""
    count = len(sample.pictures)
    return {
        FEATURES: (count, 0.15),
        BASE: (count, 0.004),
        OWN: (count, 0.001),
        ZSTD: (count, 0.002),
        **{split(name): (count, 0.008) for name in qualities},
        FILES: ((1 + len(settings)) * len(sample.coded), 0.15),
        DECIDING: (_CONTENDERS * len(sample.deciding), 0.15),
        TIMES: (len(sample.timed), 0.6),
        COSTS: (len(footprint.PARTS), 4.0),
        LINKS: (shaped.STEPS, 15.0),
    }


class Measuring:
    """One run over one sample, in some of the bundle's qualities."""

    def __init__(
        self,
        bundle: Path,
        qualities: Sequence[str],
        sample: Sample,
        settings: Sequence[Setting],
        steps: Steps,
        cloud: str | None,
        key: str | None,
    ) -> None:
        """Load the device's half; ``settings``: of files; ``cloud``: URL of one that runs already, with its API key."""
        self._qualities, self._sample, self._steps = qualities, sample, steps
        self._settings = {each.title: each for each in settings}
        self._cloud, self._key = cloud, key
        self._bundle = load_bundle(bundle, "device")
        self._classes = self._bundle.manifest.classes
        self._media_type = media_type_of(sample.pictures.files[0])

    def run(self) -> Measured:
        """Measure all."""
        bundle, steps = self._bundle.path, self._steps
        with ExitStack() as stack:
            # As on a device: numpy's BLAS would let its threads wait in a loop, on cores that are being timed.
            stack.enter_context(threadpool_limits(limits=1, user_api="blas"))
            cloud = self._cloud or stack.enter_context(running(SPLIT, bundle))
            whole = stack.enter_context(running(WHOLE, bundle))
            described = asyncio.run(self._describe(cloud))
            with steps.showing(FEATURES) as advance:
                outputs = compute_outputs(steps.folder, self._bundle, self._sample.pictures, advance)
            base = steps.run(BASE, Answers, partial(base_answers, bundle, outputs))
            own = steps.run(OWN, Answers, partial(own_answers, self._bundle, outputs))
            feature = steps.run(ZSTD, FeatureBytes, partial(feature_bytes, outputs))
            labels = self._sample.pictures.labels
            scorer = Scorer(labels, right_of(base, labels))
            qualities = {name: self._quality(cloud, name, outputs) for name in self._qualities}
            files = self._files(whole, scorer)
            table = PAPER if PAPER in qualities and beside_paper(self._bundle, self._sample) else None
            scores = score_all(scorer, base, own, qualities, *files, self._classes, table)
            chosen = scores.chosen
            times = steps.run(TIMES, dict[str, WayTimes], partial(self._times, cloud, whole, chosen.picture))
        parts = footprint.parts_of(self._bundle.manifest)
        costs = steps.run(COSTS, dict[str, Cost], partial(footprint.measure_all, bundle, parts))
        no_links = obstacle()
        on_links: tuple[OnLink, ...] = ()
        if no_links is None:
            largest = max(scores.qualities, key=lambda name: scores.qualities[name].body.mean)
            loads = self._loads((chosen.quality, largest), outputs)
            measure = partial(shaped.measure, bundle, self._classes, loads)
            on_links = steps.run(LINKS, tuple[OnLink, ...], measure)
        return Measured(
            cloud=described,
            cloud_here=self._cloud is None,
            scores=scores,
            feature=feature,
            times=times,
            costs=costs,
            on_links=on_links,
            obstacle=no_links,
        )

    async def _describe(self, url: str) -> str:
        """Say what the cloud computes with, after making sure that it serves every quality."""
        async with open_connection(url, self._classes, self._key) as connection:
            try:
                response = await connection.client.get("/model", headers={"Accept": "application/json"})
                model = Model.model_validate_json(response.content)
            except httpx.RequestError as exc:
                raise CloudUnreachable(url, f"{exc}; is cloud-server running there?") from exc
            except ValidationError as exc:
                problem = f"HTTP {response.status_code} without a model; check URL and --key"
                raise CloudAnswerInvalid(url, problem) from exc
        served = {each for bundle in model.bundles for each in bundle.fingerprints.values()}
        for name in self._qualities:
            if f"{self._bundle.manifest.fingerprint(name):08x}" not in served:
                raise SettingsError(
                    f"the cloud at {url} does not serve {name} of this bundle; start it with that"
                )
        place = "on loopback" if self._cloud is None else "another process, named with --cloud"
        return f"{place}, {model.device}, {model.precision}"

    def _quality(self, url: str, name: str, outputs: NDArray[np.void]) -> tuple[str, Answers]:
        """Give a quality's codec and what came of its frames."""
        frames = map(Framer(self._bundle, name), outputs)
        answers = self._steps.run(
            split(name), Answers, partial(self._ask_all, url, frames, None, key=self._key)
        )
        return self._bundle.manifest.qualities[name].codec, answers

    def _files(self, url: str, scorer: Scorer) -> tuple[list[Sent], dict[str, Sent]]:
        """Send some pictures as files, those as they are first; then more in the settings that decide."""
        coded, deciding = self._sample.coded, self._sample.deciding
        with self._steps.showing(FILES) as advance:
            files = self._sample.pictures.subset(coded).files
            as_they_are = partial(self._ask_all, url, files, self._media_type, advance)
            answers = self._steps.result(AS_IT_IS, Answers, as_they_are)
            written = [self._written(url, scorer, coded, each, advance) for each in self._settings.values()]
        with self._steps.showing(DECIDING) as advance:
            decided = decide(
                written, lambda title: self._written(url, scorer, deciding, self._settings[title], advance)
            )
        return [scorer.on(coded).sent(answers, "", "file as it is"), *written], decided

    def _written(
        self,
        url: str,
        scorer: Scorer,
        indices: NDArray[np.int64],
        setting: Setting,
        advance: Callable[[int], None],
    ) -> Sent:
        """Give what came of some pictures in one setting."""
        pictures = self._sample.pictures.subset(indices)

        def answered() -> Answers:
            files = [setting.encode(pictures.image(index)) for index in range(len(pictures))]
            answers = self._ask_all(url, [file.data for file in files], setting.media_type, advance)
            return answers.model_copy(update={"bare_bytes": tuple(file.bare_bytes for file in files)})

        answers = self._steps.result(f"{setting.title}, {len(pictures)} pictures", Answers, answered)
        return scorer.on(indices).sent(answers, setting.codec, setting.name)

    def _ask_all(
        self,
        url: str,
        bodies: Iterable[bytes],
        media_type: str | None,
        advance: Callable[[int], None],
        key: str | None = None,
    ) -> Answers:
        async def sending() -> Answers:
            async with open_connection(url, self._classes, key) as connection:
                return await ask_all(connection, bodies, media_type, advance)

        return asyncio.run(sending())

    def _times(
        self, url: str, whole_url: str, picture: str, advance: Callable[[int], None]
    ) -> dict[str, WayTimes]:
        pictures, rewriting = self._sample.pictures.subset(self._sample.timed), self._settings[picture]

        async def timing() -> dict[str, WayTimes]:
            async with (
                open_connection(url, self._classes, self._key) as cloud,
                open_connection(whole_url, self._classes) as whole,
            ):
                clock = Clock(self._bundle.path, self._qualities, rewriting, cloud, whole)
                return await clock.measure(pictures, self._media_type, advance)

        return asyncio.run(timing())

    def _loads(self, qualities: Iterable[str], outputs: NDArray[np.void]) -> dict[str, shaped.Load]:
        """Make what is sent over shaped links."""
        loads: dict[str, shaped.Load] = {}
        for name in qualities:
            bodies = tuple(map(Framer(self._bundle, name), outputs[:_SHAPED_BODIES]))
            loads[split(name)] = shaped.Load(media_type=None, bodies=bodies)
        files = tuple(self._sample.pictures.files[:_SHAPED_BODIES])
        loads[AS_IT_IS] = shaped.Load(media_type=self._media_type, bodies=files)
        return loads


def media_type_of(data: bytes) -> str:
    """Name the Content-Type of a picture's file."""
    with Image.open(io.BytesIO(data)) as image:
        return image.get_format_mimetype() or "image/unknown"
