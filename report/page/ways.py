"""The ways to an answer, as the model of time and the words of the report know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitwire.report.measure.timing import BEYOND, ON_DEVICE
from splitwire.report.page.time_model import Way

if TYPE_CHECKING:
    from collections.abc import Mapping

    from splitwire.report.measure.timing import Times, WayTimes
    from splitwire.report.results import PictureResult, QualityResult, Size, Traffic

AS_IT_IS = "picture (as it is)"
WHOLE = "device alone (whole network)"
OWN = "device alone (own classifier)"


def split(quality: str) -> str:
    """Name the split in a quality."""
    return f"split ({quality})"


def rewritten(setting: str) -> str:
    """Name the sending of the picture in another setting."""
    return f"picture ({setting})"


def ways_of(
    times: Times, qualities: Mapping[str, QualityResult], as_it_is: PictureResult, other: PictureResult
) -> tuple[Way, ...]:
    """Put stages and bytes of every way together; ``other``: the picture's other setting."""
    found = [
        _way(split(name), times.qualities[name], result.body, result.traffic)
        for name, result in qualities.items()
    ]
    found += [
        _way(AS_IT_IS, times.picture, as_it_is.file, as_it_is.traffic),
        _way(rewritten(other.name), times.rewritten, other.file, other.traffic),
        _alone(WHOLE, times.whole),
    ]
    if times.own is not None:
        found.append(_alone(OWN, times.own))
    return tuple(found)


def _alone(name: str, times: WayTimes) -> Way:
    return Way(name=name, device_ms=times.sum_of_medians(), beyond_ms=0, sent=0, received=0)


def _way(name: str, times: WayTimes, body: Size, traffic: Traffic | None) -> Way:
    """Take the socket's count, or where it has none the body's bytes."""
    sent, received = (body.mean, 0.0) if traffic is None else (traffic.sent, traffic.received)
    return Way(
        name=name,
        device_ms=times.sum_of_medians(ON_DEVICE),
        beyond_ms=times.sum_of_medians(BEYOND),
        sent=sent,
        received=received,
    )
