"""Raw results as a measurement would leave them, drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.models.training.data.pictures import CLASS_ORDER
from splitwire.models.training.evaluate import AutoencoderComparison, AutoencoderScore
from splitwire.models.training.painting.painter import PainterSettings
from splitwire.models.training.painting.paintings import Likeness, Mean, Paintings
from splitwire.models.training.stages.features import AutoencoderSettings
from splitwire.report import results
from splitwire.report.measure import footprint, shaped
from splitwire.report.measure.run import Measured
from splitwire.report.measure.scoring import WITHIN, Scorer, decide, right_of, score_all
from splitwire.report.picture_codecs import settings as codec_settings
from splitwire.report.results import (
    AS_IT_IS,
    OWN,
    PHASES,
    WHOLE,
    Answers,
    Chosen,
    Cost,
    FeatureBytes,
    OnLink,
    Sent,
    WayTimes,
)
from splitwire.report.statistics import spread
from splitwire.shared.evaluation import share
from splitwire.shared.pictures.decoding import View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.report.sample import Sample

SETTINGS = codec_settings(View(224), 32)
QUALITIES = {
    "paper": (12_806, 0, 0.893),
    "half": (6_406, 0, 0.893),
    "int8": (3_206, 0, 0.894),
    "q1": (330, 40, 0.897),
    "q2": (52, 6, 0.894),
    "q3": (16, 2, 0.88),
}
"""Bytes a picture, their deviation, accuracy."""
BASE_ACCURACY, OWN_ACCURACY = 0.9, 0.887
HEADER_BYTES, ANSWER_BYTES = 171, 164
_MILLISECONDS = dict(zip(PHASES, (1.2, 95.0, 0.8, 1.9, 0.02, 0.2, 3.8, 0.2), strict=True))
_WHOLE_MILLISECONDS = 90.0


class Drawn:
    """Draws everything that a measurement of a sample gives."""

    def __init__(self, sample: Sample) -> None:
        self._rng = np.random.default_rng(0)
        self._sample, self._labels = sample, sample.pictures.labels
        self._hard = self._rng.random(len(self._labels))

    def classes(self, accuracy: float, labels: NDArray[np.int64] | None = None) -> tuple[int, ...]:
        """Draw answers: the pictures that are hard for one way are mostly hard for the others."""
        labels = self._labels if labels is None else labels
        hard = self._hard[: len(labels)] + self._rng.normal(0, 0.03, len(labels))
        wrong = hard > np.quantile(hard, accuracy)
        return tuple(np.where(wrong, (labels + 1) % 10, labels).tolist())

    def answers(
        self, accuracy: float, size: float, deviation: float = 0.0, labels: NDArray[np.int64] | None = None
    ) -> Answers:
        classes = self.classes(accuracy, labels)
        sizes = self._rng.normal(size, deviation, len(classes)).round().astype(int)
        return Answers(
            classes=classes,
            body_bytes=tuple(sizes.tolist()),
            sent=tuple((sizes + HEADER_BYTES).tolist()),
            received=(ANSWER_BYTES,) * len(classes),
        )

    def files(self, scorer: Scorer) -> tuple[list[Sent], dict[str, Sent]]:
        coded, deciding = self._sample.coded, self._sample.deciding
        drawn = {setting.title: (place, setting) for place, setting in enumerate(SETTINGS)}

        def written(title: str, indices: NDArray[np.int64]) -> Sent:
            place, setting = drawn[title]
            size = (300, 550, 660, 2276)[place % 4]
            accuracy = (0.45, 0.75, 0.86, 0.896)[place % 4]
            answers = self.answers(accuracy, size + 7 * place, 20, self._labels[indices])
            bare = answers.model_copy(update={"bare_bytes": (size // 2,) * len(indices)})
            return scorer.on(indices).sent(bare, setting.codec, setting.name)

        files = [written(title, coded) for title in drawn]
        as_it_is = scorer.on(coded).sent(self.answers(0.9, 921, 60, self._labels[coded]), "", "file as it is")
        return [as_it_is, *files], decide(files, lambda title: written(title, deciding))

    def way(self, *phases: str, **changed: float) -> WayTimes:
        laps = {phase: self.milliseconds(changed.get(phase, _MILLISECONDS[phase])) for phase in phases}
        return WayTimes(
            phases={phase: spread(values) for phase, values in laps.items()},
            total=spread([sum(each) for each in zip(*laps.values(), strict=True)]),
        )

    def milliseconds(self, mean: float) -> list[float]:
        values: list[float] = self._rng.gamma(40, mean / 40, 100).tolist()
        return values

    def times(self, picture: str) -> dict[str, WayTimes]:
        beyond = ("network", "queue", "decode", "tail", "answer")
        return {
            **{results.split(name): self.way(*PHASES) for name in QUALITIES},
            AS_IT_IS: self.way(*beyond, tail=_WHOLE_MILLISECONDS),
            results.rewritten(picture): self.way("load", "encode", *beyond, tail=_WHOLE_MILLISECONDS),
            WHOLE: self.way("load", "head", "tail"),
            OWN: self.way("load", "head", "tail", tail=0.05),
        }

    def measured(self) -> Measured:
        base = Answers(classes=self.classes(BASE_ACCURACY))
        scorer = Scorer(self._labels, right_of(base, self._labels))
        files, decided = self.files(scorer)
        scores = score_all(
            scorer,
            base=base,
            own=Answers(
                classes=self.classes(OWN_ACCURACY),
                probabilities=tuple(np.clip(1.2 - self._hard, 0.2, 1).tolist()),
            ),
            qualities={
                name: ("factorised" if name[0] == "q" else name, self.answers(accuracy, size, deviation))
                for name, (size, deviation, accuracy) in QUALITIES.items()
            },
            files=files,
            decided=decided,
            classes=CLASS_ORDER,
            table_quality="paper",
        )
        chosen = Chosen(within=WITHIN, quality="q2", picture="WebP, quality 90")
        return Measured(
            cloud="on loopback, cpu, float32",
            cloud_here=True,
            scores=scores.model_copy(update={"chosen": chosen}),
            feature=FeatureBytes(plain=100_352, zstd=6_105.5),
            times=self.times(chosen.picture),
            costs={
                part: Cost(
                    parameters=parameters,
                    resident_bytes=5 * parameters,
                    milliseconds=spread(self.milliseconds(milliseconds)),
                )
                for part, parameters, milliseconds in zip(
                    footprint.PARTS,
                    (14_714_688, 311_808, 66_954, 312_192, 13_113_354, 119_586_826),
                    (95.0, 0.4, 0.04, 0.6, 2.5, 23.0),
                    strict=True,
                )
            },
            on_links=tuple(self._exchanges()),
            obstacle=None,
        )

    def _exchanges(self) -> list[OnLink]:
        sizes = {results.split("q2"): 52, results.split("paper"): 12_806, AS_IT_IS: 921}
        return [
            OnLink(
                way=way,
                rate=rate,
                round_trip_ms=2 * delay,
                measured=spread(self.milliseconds(6 + 2 * delay + 8e3 * (size + 250) / rate)),
                sent=size + HEADER_BYTES,
            )
            for delay, rates in shaped.CONDITIONS.items()
            for rate in rates
            for way, size in sizes.items()
        ]


def comparison() -> AutoencoderComparison:
    """Both autoencoders, as a training writes it into ``sae.json``."""

    def score(parameters: int, error: float, hits: int) -> AutoencoderScore:
        return AutoencoderScore(
            parameters=parameters,
            reconstruction_error=error,
            accuracy=share(hits, 5000),
            settings=AutoencoderSettings(epochs=16, batch=64, rate=1e-3),
            hours=0.12,
        )

    return AutoencoderComparison(
        sae=score(160_591_488, 0.61, 4391),
        cae=score(624_000, 0.52, 4465),
        code_elements=3200,
        pictures=5000,
        data_sha256="0" * 64,
        training_pictures=47_500,
        seed=0,
        compute="cpu, bfloat16 mixed precision",
    )


def paintings() -> Paintings:
    """What codes give away, as a training writes it into ``paintings.json``."""

    def likeness(psnr: float, ssim: float, hits: int) -> Likeness:
        return Likeness(
            psnr=Mean(value=psnr, low=psnr - 0.1, high=psnr + 0.1, n=1000),
            ssim=Mean(value=ssim, low=ssim - 0.01, high=ssim + 0.01, n=1000),
            accuracy=share(hits, 1000),
        )

    return Paintings(
        qualities={"paper": likeness(19.37, 0.61, 512), "q3": likeness(14.03, 0.22, 301)},
        class_alone=likeness(12.91, 0.12, 104),
        accuracy=share(901, 1000),
        data_sha256="0" * 64,
        training_pictures=50_000,
        settings=PainterSettings(epochs=7),
        seed=0,
        compute="cpu, float32",
    )
