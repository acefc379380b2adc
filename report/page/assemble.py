"""From raw results to the report's numbers; nothing is measured here."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from splitwire.report.measure.features import HEAD
from splitwire.report.measure.scoring import confident, picture_result, quality_result, right_of, score
from splitwire.report.measure.timing import BEYOND
from splitwire.report.page import ways
from splitwire.report.page.conclusion import ROUND_TRIP_MS, conclude
from splitwire.report.page.published import paper_table, published
from splitwire.report.page.time_model import ROUND_TRIPS_MS, crossing, curves, rates, transfer_ms
from splitwire.report.results import Check, Elements, Report, SlowerDevice, Where
from splitwire.report.testbed import environment
from splitwire.report.testbed.shaped_link import BURST_BYTES
from splitwire.shared.bundle import MANIFEST
from splitwire.shared.cores import usable_cores
from splitwire.shared.evaluation import EVALUATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from splitwire.models.training.data.pictures import Pictures
    from splitwire.models.training.sae import AutoencoderComparison
    from splitwire.report.measure.run import Measured, Sample
    from splitwire.report.measure.shaped import Measurements
    from splitwire.report.measure.timing import Times
    from splitwire.report.page.time_model import Way
    from splitwire.report.settings import ReportSettings
    from splitwire.shared.bundle import Bundle

PAPER = "paper"
SLOWER = (1.0, 3.0, 10.0)


def assemble(
    settings: ReportSettings,
    bundle: Bundle,
    everything: Pictures,
    sample: Sample,
    measured: Measured,
    autoencoders: AutoencoderComparison | None,
    commit: str | None,
    seconds: float,
) -> Report:
    """Work the report out; ``commit``: of the code that measured."""
    manifest, labels = bundle.manifest, sample.pictures.labels
    classes, coded = manifest.classes, sample.coded
    base = right_of(measured.base.classes, labels)
    qualities = {
        name: quality_result(manifest.qualities[name].codec, answers, base, labels, classes)
        for name, answers in measured.qualities.items()
    }
    pictures = tuple(picture_result(files, base[coded], labels[coded], classes) for files in measured.files)
    own = (
        score(right_of(measured.own.classes, labels), base, labels, classes) if measured.own.classes else None
    )
    chosen = measured.chosen
    other = next(picture for picture in pictures if picture.name == chosen.picture)
    all_ways = {way.name: way for way in ways.ways_of(measured.times, qualities, pictures[0], other)}
    split, sent, alone = (
        all_ways[name] for name in (ways.split(chosen.quality), ways.rewritten(other.name), ways.WHOLE)
    )
    scored_base = score(base, base, labels, classes)
    return Report(
        where=_where(settings, bundle, everything, sample, measured.cloud, commit, seconds),
        classes=classes,
        conclusion=conclude(
            (chosen.quality, qualities[chosen.quality]),
            other,
            scored_base,
            own,
            measured.costs,
            (split, sent, alone),
        ),
        chosen=chosen,
        base=scored_base,
        paper=paper_table(),
        paper_quality=PAPER if PAPER in qualities else chosen.quality,
        qualities=qualities,
        pictures=pictures,
        feature=measured.feature,
        own=own,
        elements=_elements(bundle),
        published=published(),
        costs=measured.costs,
        file_bytes=_sizes(bundle.path, manifest.sha256),
        pulled_bytes=_sizes(bundle.path, [MANIFEST, EVALUATION]),
        autoencoders=autoencoders,
        times=measured.times,
        ways=tuple(all_ways.values()),
        rates=rates(),
        curves=curves([split, sent, all_ways[ways.AS_IT_IS], alone]),
        crossings=tuple(
            crossing(one, another, round_trip)
            for one, another in (
                (split, sent),
                (split, all_ways[ways.AS_IT_IS]),
                (split, alone),
                (sent, alone),
            )
            for round_trip in ROUND_TRIPS_MS
        ),
        slower=tuple(
            SlowerDevice(
                times=times,
                crossing=crossing(split.on_slower_device(times), sent.on_slower_device(times), ROUND_TRIP_MS),
            )
            for times in SLOWER
        ),
        checks=_checks(measured.shaped, measured.times, all_ways),
        obstacle=measured.shaped.obstacle,
        confident=confident(chosen.quality, measured.own, measured.qualities[chosen.quality], labels)
        if measured.own.classes
        else None,
    )


def _sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Look up the bytes of those files that are there."""
    return {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}


def _elements(bundle: Bundle) -> Elements:
    feature, latent = math.prod(bundle.manifest.feature_shape), math.prod(bundle.manifest.latent_shape)
    return Elements(feature=feature, latent=latent, saved=1 - latent / feature)


def _checks(shaped: Measurements, times: Times, all_ways: Mapping[str, Way]) -> tuple[Check, ...]:
    """Set the model beside what was measured; an answer is shorter than what tbf lets pass at once."""
    stages = {ways.split(name): each for name, each in times.qualities.items()}
    stages[ways.AS_IT_IS] = times.picture
    checks = []
    for each in shaped.measured:
        way = all_ways[each.way]
        there = transfer_ms(way.sent, each.rate, each.round_trip_ms)
        back = transfer_ms(way.received, each.rate, each.round_trip_ms, allowance=BURST_BYTES)
        checks.append(
            Check(
                way=each.way,
                rate=each.rate,
                round_trip_ms=each.round_trip_ms,
                measured=each.milliseconds,
                modelled_ms=stages[each.way].sum_of_medians(BEYOND) + each.round_trip_ms + there + back,
                sent=each.sent,
                expected_sent=way.sent,
            )
        )
    return tuple(checks)


def _where(
    settings: ReportSettings,
    bundle: Bundle,
    everything: Pictures,
    sample: Sample,
    cloud: str,
    commit: str | None,
    seconds: float,
) -> Where:
    manifest = (bundle.path / MANIFEST).read_bytes()
    return Where(
        processor=environment.processor(),
        cores=usable_cores(),
        memory_bytes=environment.memory_bytes(),
        system=environment.system(),
        threads=environment.threads(),
        versions=environment.versions(),
        commit=commit,
        bundle=bundle.manifest.id,
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        hidden=bundle.manifest.hidden,
        cloud=cloud,
        cloud_here=settings.cloud is None,
        data=environment.describe_data(everything),
        data_sha256=everything.digest(),
        test_pictures=len(everything),
        pictures=len(sample.pictures),
        codec_pictures=len(sample.coded),
        timed_pictures=len(sample.timed),
        seed=settings.seed,
        head=HEAD,
        date=datetime.now(UTC).date().isoformat(),
        seconds=seconds,
    )
