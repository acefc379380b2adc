"""The written report: its page, its numbers, its plots; and the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from splitwire.models import paper
from splitwire.models.training.data.files import as_png
from splitwire.report.page import words
from splitwire.report.page.html import write_report
from splitwire.report.page.plots.style import draw_shares
from splitwire.report.results import Report
from splitwire.shared.errors import SettingsError
from splitwire.shared.evaluation import share

if TYPE_CHECKING:
    from pathlib import Path

PLOTS = {"rate-accuracy", "classes", "phases", "bandwidth", "model-check", "confident"}


@pytest.fixture(scope="module")
def sheet() -> bytes:
    """Ten pictures and three rows of paintings."""
    return as_png(np.full((4 * 32, 10 * 32, 3), 128, dtype=np.uint8))


@pytest.fixture(scope="module")
def folder(drawn_report: Report, sheet: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(drawn_report, folder, sheet)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def bare_page(drawn_report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a report without all that can be absent."""
    folder = tmp_path_factory.mktemp("bare")
    absent = {
        "autoencoders": None,
        "paintings": None,
        "own": None,
        "confident": (),
        "checks": (),
        "obstacle": "no root",
    }
    qualities = {
        name: each.model_copy(update={"traffic": None}) for name, each in drawn_report.qualities.items()
    }
    write_report(drawn_report.model_copy(update={**absent, "qualities": qualities}), folder)
    assert {file.stem for file in (folder / "plots").iterdir()} == PLOTS - {"model-check", "confident"}
    return (folder / "report.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    without = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(without.replace("&#39;", "'").split())


def test_the_numbers_are_all_there(folder: Path, drawn_report: Report) -> None:
    assert Report.model_validate_json((folder / "report.json").read_bytes()) == drawn_report


def test_the_papers_numbers_are_there_too(folder: Path) -> None:
    found = json.loads((folder / "report.json").read_text())
    assert {name: tuple(each.values()) for name, each in found["paper"].items()} == paper.ACCURACY
    assert tuple(found["paper_average"].values()) == paper.AVERAGE_ACCURACY
    assert found["published"][0]["accuracy"] == paper.AVERAGE_ACCURACY[1]
    assert found["published"][0]["body_bytes"] == 4 * found["latent_elements"]


def test_every_plot_is_there_as_svg_and_png(folder: Path) -> None:
    files = {file.name for file in (folder / "plots").iterdir()}
    assert files == {f"{name}.{kind}" for name in PLOTS for kind in ("svg", "png")}
    for name in PLOTS:
        assert ET.parse(folder / "plots" / f"{name}.svg").getroot().tag.endswith("svg")  # noqa: S314 - ours
        with Image.open(folder / "plots" / f"{name}.png") as image:
            assert image.convert("L").getextrema() == (0, 255)


def test_the_same_numbers_give_the_same_plots(folder: Path, drawn_report: Report, tmp_path: Path) -> None:
    write_report(drawn_report, tmp_path)
    for name in PLOTS:
        assert (tmp_path / "plots" / f"{name}.svg").read_bytes() == (
            folder / "plots" / f"{name}.svg"
        ).read_bytes()


def test_shares_of_all_and_of_none_are_drawn() -> None:
    axes = Figure().add_subplot()
    draw_shares(axes, [0, 1], [share(hits, n) for hits, n in ((0, 4), (4, 4))])
    draw_shares(axes, list(range(1, 50)), [share(n, n) for n in range(1, 50)], across=True)


def test_the_page_needs_nothing_else(page: str) -> None:
    sources = re.findall(r"(?:src|href)=\"([^\"]{5})", page)
    assert set(sources) == {"data:"} | {each for each in sources if each.startswith("#")}
    assert page.count("data:image/svg+xml;base64,") == len(PLOTS)
    assert page.count("data:image/png;base64,") == 1
    assert "url(" not in page
    assert "<script" not in page


def test_the_first_screen_is_the_conclusion(page: str, drawn_report: Report) -> None:
    first = text_of(page[: page.index("<nav")])
    for finding in drawn_report.conclusion:
        for each in (finding.number, finding.label, finding.sentence):
            assert " ".join(each.split()) in first


def test_every_file_says_how_many_pictures_stand_behind_it(page: str, drawn_report: Report) -> None:
    text = text_of(page)
    for each in drawn_report.pictures[1:]:
        assert f"{each.setting} {each.scored.accuracy.n:,} {words.count(each.body.mean)}" in text


def test_the_papers_figures_stand_both_ways(page: str) -> None:
    text = text_of(page)
    assert "from 82.4 to 79.8 % are 2.6 points" in text
    assert "25,088 of the feature become 3,200 of the code, 87.2 % fewer" in text
    assert "average 5000" in text
    assert "\N{MINUS SIGN}2.6 relative, %" in text
    assert "\N{MINUS SIGN}3.16 The paper" in text
    assert "87 82 \N{MINUS SIGN}5 average" in text


def test_all_that_a_device_fetches_after_a_new_classifier_is_named(page: str, bundle_path: Path) -> None:
    manifest, evaluation = (
        (bundle_path / name).stat().st_size for name in ("manifest.json", "evaluation.json")
    )
    both = f"manifest.json ({manifest:,} bytes) and evaluation.json ({evaluation:,} bytes)."
    assert both in text_of(page)


def test_everything_has_its_section(page: str) -> None:
    assert re.findall(r'<section id="([^"]*)"', page) == [
        "conclusion", "classes", "rate", "why", "autoencoders", "time", "confident", "gives-away", "where",
    ]  # fmt: skip
    text = text_of(page)
    assert "160,591,488" in text
    assert "q3 14.03 13.93 to 14.13 0.220 0.210 to 0.230 30.1 %" in text
    assert "It is no proof of privacy." in text
    assert "Left out" not in text


def test_beside_other_pictures_there_is_no_paper(drawn_report: Report, tmp_path: Path) -> None:
    rows = drawn_report.by_class
    others: dict[str, object] = {"paper": {}, "paper_average": None, "published": (), "class_count": 81}
    places = {"network": "test_resnet", "cut": "layer3.0", "bundle": "groceries"}
    where = drawn_report.where.model_copy(update=places)
    write_report(drawn_report.model_copy(update={**others, "where": where}), tmp_path)
    text = text_of((tmp_path / "report.html").read_text(encoding="utf-8"))
    for absent in ("Go, Kwon and Kim", "CIFAR-10,", "Others' measurements", "\N{MINUS SIGN}3.16", "Grey"):
        assert absent not in text
    assert f"Of 81 classes, the {len(rows)} with the worst answers in this quality" in text
    assert "test_resnet, cut at layer3.0" in text
    confusion = drawn_report.confusions[0]
    assert f"{confusion.truth} {confusion.answer} {confusion.base} {confusion.coded}" in text


def test_what_is_absent_is_said_to_be(bare_page: str) -> None:
    text = text_of(bare_page)
    assert "this bundle has no sae.json" in text
    assert "this bundle has no paintings.json" in text
    assert "Left out: no root." in text
    assert "this bundle has no classifier for the device" in text
    assert "not counted on this system" in text


def test_a_folder_that_can_not_be_written_is_said(drawn_report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="choose another --out"):
        write_report(drawn_report, tmp_path / "file")


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium here: on Debian, apt install chromium")


def browse(chromium: str, folder: Path, page: str) -> tuple[str, str]:
    """Render a page without a network: the document afterwards, and what the console said."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=10000", "--dump-dom", f"file://{folder / 'page.html'}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)


PROBE = """<script>
addEventListener("load", () => {
  const images = [...document.images].map(each => [each.naturalWidth, each.clientWidth, each.clientHeight]);
  const wide = document.documentElement.scrollWidth > innerWidth;
  document.body.dataset.probe = JSON.stringify({images, wide});
});
</script>"""


def test_a_browser_renders_page_and_plots_without_errors(chromium: str, page: str, tmp_path: Path) -> None:
    document, console = browse(chromium, tmp_path, page.replace("</body>", f"{PROBE}</body>"))
    found = re.search(r'data-probe="([^"]*)"', document)
    assert found, "the page did not load"
    probe = json.loads(found[1].replace("&quot;", '"'))
    assert len(probe["images"]) == len(PLOTS) + 1
    assert all(natural > 0 and width > 300 and height > 100 for natural, width, height in probe["images"])
    assert not probe["wide"], "it scrolls sideways"
    assert not console


def test_an_error_in_the_page_would_be_seen(chromium: str, tmp_path: Path) -> None:
    _, console = browse(chromium, tmp_path, "<script>console.error('seen')</script>")
    assert "seen" in console
