"""The folder with the report: one page that needs nothing else, its numbers, its plots."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import jinja2

from splitwire.report.measure.footprint import CLASSIFIER, IN_CLOUD, ON_DEVICE, WIDE, WIDE_CLASSIFIER
from splitwire.report.measure.timing import STAGES
from splitwire.report.page import plots, ways, words
from splitwire.report.page.conclusion import ROUND_TRIP_MS
from splitwire.report.page.time_model import FIRST_FLIGHT, PACKET_BYTES, PACKET_HEADER_BYTES
from splitwire.shared.bundle import DECODER
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from splitwire.report.results import Report

PAGE, NUMBERS, PLOTS = "report.html", "report.json", "plots"


def write_report(report: Report, folder: Path) -> None:
    """Write page, numbers and plots.

    Raises:
        SettingsError: the folder can't be written.

    """
    try:
        (folder / NUMBERS).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        drawn = plots.save_plots(report, folder / PLOTS)
        (folder / PAGE).write_text(render(report, drawn), encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"{folder} can't be written ({exc.strerror}); choose another --out") from exc


def render(report: Report, drawn: dict[str, bytes]) -> str:
    """Write the page; ``drawn``: SVG by name, put into it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in (
        words.percent, words.interval, words.points, words.points_interval, words.signed, words.count,
        words.megabytes, words.milliseconds, words.median_and_p95, words.duration, words.rate, words.crossing, words.crossings,
    ):  # fmt: skip
        environment.filters[filter_.__name__] = filter_
    return environment.get_template("page.html").render(
        report=report,
        where=report.where,
        images={name: base64.b64encode(svg).decode() for name, svg in drawn.items()},
        plots=plots,
        ways=ways,
        stages=STAGES,
        parts={"device": ON_DEVICE, "cloud": IN_CLOUD},
        classifier=CLASSIFIER,
        wide_classifier=WIDE_CLASSIFIER,
        decoder=DECODER,
        wide=WIDE,
        round_trip_ms=ROUND_TRIP_MS,
        packet=(PACKET_BYTES, PACKET_HEADER_BYTES, FIRST_FLIGHT),
    )
