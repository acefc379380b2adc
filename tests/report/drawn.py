"""Raw results as a measurement would leave them, drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from splitwire.models.training.sae import AutoencoderComparison, AutoencoderScore
from splitwire.models.training.stages.autoencoder import AutoencoderSettings
from splitwire.report.measure import footprint, shaped
from splitwire.report.measure.exchanges import Answers, FileAnswers
from splitwire.report.measure.on_device import Base, FeatureBytes, Own
from splitwire.report.measure.picture_codecs import settings as codec_settings
from splitwire.report.measure.run import Measured
from splitwire.report.measure.scoring import WITHIN
from splitwire.report.measure.timing import STAGES, Times, WayTimes
from splitwire.report.page import ways
from splitwire.report.results import Chosen
from splitwire.report.statistics import spread
from splitwire.shared.evaluation import share

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
_MILLISECONDS = dict(zip(STAGES, (1.2, 95.0, 0.8, 1.9, 0.02, 0.2, 3.8, 0.2), strict=True))
_WHOLE_MILLISECONDS = 90.0


class Drawn:
    """Draws everything that a measurement of some pictures gives; ``labels``: [n]."""

    def __init__(self, labels: NDArray[np.int64], coded: NDArray[np.int64]) -> None:
        self._rng = np.random.default_rng(0)
        self._labels, self._coded = labels, coded
        self._hard = self._rng.random(len(labels))

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

    def files(self) -> tuple[FileAnswers, ...]:
        labels = self._labels[self._coded]
        as_they_are = FileAnswers(
            codec="", setting="file as it is", answers=self.answers(0.9, 921, 60, labels), bare_bytes=()
        )
        written = []
        for place, setting in enumerate(codec_settings()):
            size = (300, 550, 660, 2276)[place % 4]
            accuracy = (0.45, 0.75, 0.86, 0.896)[place % 4]
            written.append(
                FileAnswers(
                    codec=setting.codec,
                    setting=setting.name,
                    answers=self.answers(accuracy, size + 7 * place, 20, labels),
                    bare_bytes=(size // 2,) * len(labels),
                )
            )
        return (as_they_are, *written)

    def way(self, *stages: str, **changed: float) -> WayTimes:
        laps = {stage: self.milliseconds(changed.get(stage, _MILLISECONDS[stage])) for stage in stages}
        return WayTimes(
            stages={stage: spread(values) for stage, values in laps.items()},
            total=spread([sum(each) for each in zip(*laps.values(), strict=True)]),
        )

    def milliseconds(self, mean: float) -> list[float]:
        values: list[float] = self._rng.gamma(40, mean / 40, 100).tolist()
        return values

    def times(self) -> Times:
        return Times(
            qualities={name: self.way(*STAGES) for name in QUALITIES},
            picture=self.way("network", "queue", "decode", "tail", "answer", tail=_WHOLE_MILLISECONDS),
            rewritten=self.way(
                "load", "encode", "network", "queue", "decode", "tail", "answer", tail=_WHOLE_MILLISECONDS
            ),
            own=self.way("load", "head", "tail", tail=0.05),
            whole=self.way("load", "head", "tail"),
        )

    def measured(self, *, obstacle: str | None = None) -> Measured:
        return Measured(
            cloud="on loopback, cpu, float32",
            base=Base(classes=self.classes(BASE_ACCURACY)),
            own=Own(
                classes=self.classes(OWN_ACCURACY),
                probabilities=tuple(np.clip(1.2 - self._hard, 0.2, 1).tolist()),
            ),
            feature=FeatureBytes(plain=100_352, zstd=6_105.5),
            qualities={
                name: self.answers(accuracy, size, deviation)
                for name, (size, deviation, accuracy) in QUALITIES.items()
            },
            files=self.files(),
            chosen=Chosen(within=WITHIN, quality="q2", picture="WebP, quality 90"),
            times=self.times(),
            costs=footprint.Costs(
                parts={
                    part: footprint.Cost(
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
                }
            ),
            shaped=shaped.Measurements(obstacle=obstacle)
            if obstacle
            else shaped.Measurements(measured=tuple(self._exchanges())),
        )

    def _exchanges(self) -> list[shaped.Measured]:
        sizes = {ways.split("q2"): 52, ways.split("paper"): 12_806, ways.AS_IT_IS: 921}
        return [
            shaped.Measured(
                way=way,
                rate=rate,
                round_trip_ms=2 * delay,
                milliseconds=spread(self.milliseconds(6 + 2 * delay + 8e3 * (size + 250) / rate)),
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
