"""The conclusion: three findings, worked out from the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.report.measure.footprint import BACK
from splitwire.report.page import words
from splitwire.report.page.time_model import crossing
from splitwire.report.results import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splitwire.report.results import Cost, Crossing, Scored, Scores, Sent, Way

ROUND_TRIP_MS = 50.0


def conclude(
    scores: Scores, costs: Mapping[str, Cost], split: Way, sent: Way, alone: Way
) -> tuple[Finding, Finding, Finding]:
    """Say what splitting gains and loses, and when something else is better.

    Args:
        scores: with the chosen quality and picture's file.
        costs: by part.
        split: in that quality.
        sent: that file.
        alone: the device with the whole network.

    """
    name = scores.chosen.quality
    result = scores.qualities[name]
    picture = next(each for each in scores.pictures if each.name == scores.chosen.picture)
    return (
        _gain(name, result, picture),
        _loss(name, result.scored, scores.base),
        _rather(crossing(split, sent, ROUND_TRIP_MS), split, alone, scores, costs[BACK]),
    )


def _gain(name: str, result: Sent, picture: Sent) -> Finding:
    body, file = result.body.mean, picture.body.mean
    split = f"split in quality {name}, a picture is {words.count(body)} bytes"
    other = (
        f"the smallest file of the picture that keeps the accuracy ({picture.name}; on "
        f"{picture.scored.accuracy.n:,} pictures) has {words.count(file)}"
    )
    if body < file:
        sentence = f"Gained: {split}; {other}, {words.times_as(file / body)} as many."
    else:
        sentence = f"Nothing is gained in bytes: {split}; {other}, {words.times_as(body / file)} fewer."
    if picture.bare_bytes is not None:
        sentence += f" Without its fixed header that file has {words.count(picture.bare_bytes)}."
    label = f"bytes a picture in quality {name}; as a file of its own it has {words.count(file)}"
    return Finding(number=words.count(body), label=label, sentence=sentence)


def _loss(name: str, scored: Scored, base: Scored) -> Finding:
    change = scored.change
    lost = "Lost is no accuracy"
    if change.value < 0:
        lost = f"Lost are {words.signed(-100 * change.value).lstrip('+')} points of accuracy"
    return Finding(
        number=words.points(change),
        label=f"points of accuracy, 95 % interval {words.points_interval(change)}",
        sentence=f"{lost}: quality {name} is right on {words.percent(scored.accuracy)} of {change.n:,} pictures, the "
        f"uncompressed network on {words.percent(base.accuracy)}.",
    )


def _rather(found: Crossing, split: Way, alone: Way, scores: Scores, back: Cost) -> Finding:
    """Say when to send the picture, and when nothing: the device runs the network up to the cut in any case."""
    link = f"with a round trip of {found.round_trip_ms:.0f} ms"
    split_first = found.first == split.name
    if found.rate is not None:
        number = words.about(found.rate)
        side, speed = ("above", "faster") if split_first else ("below", "slower")
        label = f"is the link {side} which the picture is answered sooner, {link}"
        picture = f"the picture on links {speed} than {number} ({link}), where it is answered sooner"
    else:
        number = "no link" if split_first else "every link"
        label = f"from 10 kbit/s to 1 Gbit/s has the picture answered sooner, {link}"
        picture = (
            "the picture where accuracy counts more than time: it is answered later on every link"
            if split_first
            else "the picture wherever time counts: it is answered sooner on every link"
        )
    memory = back.resident_bytes
    rest = "the rest of the network"
    room = rest if memory is None else f"{words.megabytes(memory)} more, for {rest}"
    small = f", its own small classifier {words.percent(scores.own.accuracy)}" if scores.own else ""
    return Finding(
        number=number,
        label=label,
        sentence=f"Rather send {picture}; and nothing at all where the device has room for {room}: it runs what "
        f"is before the cut in any case ({words.duration(split.device_ms)} with the code), and alone it is right on "
        f"{words.percent(scores.base.accuracy)} in {words.duration(alone.device_ms)}{small}.",
    )
