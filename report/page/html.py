"""The folder with the report: one page that needs nothing else, its numbers, its plots."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from splitwire.edge.network import cost
from splitwire.report.measure.footprint import BACK, FRONT, IN_CLOUD, ON_DEVICE, PUBLISHED
from splitwire.report.page import plots, words
from splitwire.report.page.conclusion import ROUND_TRIP_MS
from splitwire.report.results import PHASES
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from splitwire.report.results import Report

PAGE, NUMBERS, PLOTS = "report.html", "report.json", "plots"


def write_report(report: Report, folder: Path, sheet: bytes | None = None) -> None:
    """Write page, numbers and plots; ``sheet``: the paintings' PNG, where there is one.

    Raises:
        SettingsError: the folder can't be written.

    """
    try:
        (folder / NUMBERS).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        drawn = plots.save_plots(report, folder / PLOTS)
        (folder / PAGE).write_text(render(report, drawn, sheet), encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"{folder} can't be written ({exc.strerror}); choose another --out") from exc


def render(report: Report, drawn: dict[str, bytes], sheet: bytes | None) -> str:
    """Write the page; ``drawn``: SVG by name, put into it; ``sheet``: PNG, likewise."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "percent", "interval", "points", "points_interval", "signed", "count", "megabytes", "milliseconds",
        "median_and_p95", "duration", "rate", "crossing", "crossings",
    ):  # fmt: skip
        environment.filters[name] = getattr(words, name)
    return environment.get_template("page.html").render(
        report=report,
        where=report.where,
        images={name: base64.b64encode(svg).decode() for name, svg in drawn.items()},
        sheet=sheet and base64.b64encode(sheet).decode(),
        plots=plots,
        phases=PHASES,
        parts={"device": ON_DEVICE, "cloud": IN_CLOUD},
        front=FRONT,
        back=BACK,
        published_classifier=PUBLISHED,
        round_trip_ms=ROUND_TRIP_MS,
        cost=cost,
    )
