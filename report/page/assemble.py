"""From what was measured to the report's numbers; nothing is measured here."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from splitwire.edge.network.cost import link_seconds
from splitwire.models import paper
from splitwire.models.autoencoder import latent_shape
from splitwire.report.measure.features import HEAD
from splitwire.report.page.conclusion import ROUND_TRIP_MS, conclude
from splitwire.report.page.time_model import ROUND_TRIPS_MS, crossing, curves, rates, ways_of
from splitwire.report.results import (
    AS_IT_IS,
    BEYOND,
    WHOLE,
    Check,
    PaperAccuracy,
    Published,
    Report,
    Where,
    rewritten,
    split,
)
from splitwire.report.sample import beside_paper
from splitwire.report.testbed import environment
from splitwire.report.testbed.shaped_link import BURST_BYTES
from splitwire.shared.bundle import MANIFEST
from splitwire.shared.evaluation import EVALUATION

if TYPE_CHECKING:
    from splitwire.models.training.evaluate import AutoencoderComparison
    from splitwire.models.training.painting.paintings import Paintings
    from splitwire.report.measure.run import Measured
    from splitwire.report.results import OnLink, Way, WayTimes
    from splitwire.report.sample import Sample
    from splitwire.shared.bundle import Bundle

_PUBLISHED = Path(__file__).with_name("published.json")
"""What others measured on CIFAR-10, with their own networks and machines; what could not be traced to its source is not there."""
SLOWER = (1.0, 3.0, 10.0)


def assemble(
    bundle: Bundle,
    sample: Sample,
    measured: Measured,
    autoencoders: AutoencoderComparison | None,
    paintings: Paintings | None,
    commit: str | None,
    seconds: float,
) -> Report:
    """Work the report out; ``commit``: of the code that measured; ``seconds``: that it took."""
    manifest, scores = bundle.manifest, measured.scores
    chosen = scores.chosen
    is_paper = beside_paper(bundle, sample)
    is_cifar10 = paper.has_its_pictures(manifest.classes, sample.everything.side)
    other = next(each for each in scores.pictures if each.name == chosen.picture)
    ways = ways_of(
        measured.times,
        {
            **{split(name): each for name, each in scores.qualities.items()},
            AS_IT_IS: scores.pictures[0],
            rewritten(other.name): other,
        },
    )
    divided, as_it_is, sent, alone = (
        ways[name] for name in (split(chosen.quality), AS_IT_IS, rewritten(other.name), WHOLE)
    )
    return Report(
        **dict(scores),
        where=Where(
            machine=environment.machine(),
            commit=commit,
            bundle=manifest.id,
            manifest_sha256=hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest(),
            network=manifest.network.name,
            cut=manifest.network.cut,
            cloud=measured.cloud,
            cloud_here=measured.cloud_here,
            data=environment.describe_data(sample.everything, cifar10=is_cifar10),
            data_sha256=sample.everything.digest(),
            test_pictures=len(sample.everything),
            pictures=len(sample.pictures),
            codec_pictures=len(sample.coded),
            deciding_pictures=len(sample.deciding),
            timed_pictures=len(sample.timed),
            seed=sample.seed,
            head=HEAD,
            date=datetime.now(UTC).date().isoformat(),
            seconds=seconds,
        ),
        class_count=len(manifest.classes),
        conclusion=conclude(scores, measured.costs, divided, sent, alone),
        paper={name: _paper(both) for name, both in paper.ACCURACY.items()} if is_paper else {},
        paper_average=_paper(paper.AVERAGE_ACCURACY) if is_paper else None,
        feature=measured.feature,
        feature_elements=math.prod(manifest.feature_shape),
        latent_elements=math.prod(latent_shape(manifest.feature_shape)),
        code_elements={name: math.prod(manifest.qualities[name].latent_shape) for name in scores.qualities},
        published=TypeAdapter(tuple[Published, ...]).validate_json(_PUBLISHED.read_bytes())
        if is_cifar10
        else (),
        costs=measured.costs,
        tail_bytes=sum(manifest.files[name].size for name in manifest.tail),
        device_bytes=manifest.files[manifest.heads[manifest.default_head].weights].size,
        pulled_bytes={
            name: (bundle.path / name).stat().st_size
            for name in (MANIFEST, EVALUATION)
            if (bundle.path / name).is_file()
        },
        autoencoders=autoencoders,
        paintings=paintings,
        times=measured.times,
        ways=tuple(ways.values()),
        rates=rates(),
        curves=curves([divided, sent, as_it_is, alone]),
        crossings=tuple(
            crossing(one, another, round_trip)
            for one, another in ((divided, sent), (divided, as_it_is), (divided, alone), (sent, alone))
            for round_trip in ROUND_TRIPS_MS
        ),
        slower={
            times: crossing(divided.on_slower_device(times), sent.on_slower_device(times), ROUND_TRIP_MS)
            for times in SLOWER
        },
        checks=tuple(check(each, ways[each.way], measured.times[each.way]) for each in measured.on_links),
        obstacle=measured.obstacle,
    )


def check(found: OnLink, way: Way, times: WayTimes) -> Check:
    """Set the model beside what was measured; an answer is shorter than what tbf lets pass at once."""
    link = link_seconds(way.sent, way.received, found.rate, found.round_trip_ms / 1e3, let_pass=BURST_BYTES)
    modelled_ms = times.sum_of_medians(BEYOND) + 1e3 * link
    return Check(**dict(found), modelled_ms=modelled_ms, expected_sent=way.sent)


def _paper(accuracy: tuple[float, float]) -> PaperAccuracy:
    without, coded = accuracy
    return PaperAccuracy(without=without, coded=coded)
