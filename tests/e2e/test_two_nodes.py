"""The containers' own commands at the two ends of a slow link: the short form of ``make two-nodes``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from splitwire.report.testbed.shaped_link import obstacle
from tests.e2e.containers import ROOT
from tests.e2e.pair import running_pair
from tests.e2e.two_nodes import PICTURE, checked, drive, measure, outage_while_watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.pair import Pair

pytestmark = pytest.mark.slow

SAMPLES = ROOT / "samples" / "pictures"
RATE = 256_000
MOST = 3
"""Of five samples."""


def crops(folder: Path) -> dict[str, Path]:
    """Cut three pictures out of each sample."""
    folder.chmod(0o755)
    files: dict[str, Path] = {}
    for sample in SAMPLES.iterdir():
        for left in (0, 16, 32):
            name = f"{sample.stem}-{left}.jpg"
            files[name] = folder / name
            Image.open(sample).crop((left, 0, left + 224, 224)).save(files[name])
    return files


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    if reason := obstacle():
        pytest.skip(reason)
    with running_pair(rate=RATE, delay_ms=5, whole_network=True) as pair:
        yield pair


def test_the_device_classifies_the_samples_as_compose_says(pair: Pair) -> None:
    run = pair.classify(SAMPLES, command=pair.edge.command)
    labels = checked(run, SAMPLES.iterdir())
    assert sum(label == Path(name).stem for name, label in labels.items()) >= MOST
    assert {result["source"] for result in run.results} == {"cloud"}
    assert run.traffic.sent > sum(result["body_bytes"] for result in run.results)


def test_both_nodes_stay_within_their_limits_of_memory(pair: Pair) -> None:
    assert 0 < pair.classify(SAMPLES).memory < pair.edge.memory
    assert 0 < pair.cloud_memory() < pair.cloud.memory


@pytest.mark.parametrize("way", ["auto", "paper", PICTURE])
def test_every_way_is_measured(pair: Pair, way: str) -> None:
    measured = measure(pair, way, RATE, {path.name: path for path in SAMPLES.iterdir()}, lambda _: None)
    assert measured.accuracy.value * measured.pictures >= MOST
    assert measured.bytes_sent > 0


def test_auto_keeps_the_deadline_on_a_link_that_gets_slow_and_fast_again(pair: Pair, tmp_path: Path) -> None:
    files, deadline_ms = crops(tmp_path), 2000
    for leg in drive(pair, files, (10_000_000, 20_000, 10_000_000), deadline_ms, lambda _: None):
        assert leg.slowest_ms < deadline_ms
        assert "device" not in leg.answered_by


def test_a_cut_link_loses_no_picture_and_answers_none_twice(pair: Pair, tmp_path: Path) -> None:
    files = crops(tmp_path)
    outage = outage_while_watching(pair, files, RATE, seconds=3, said=lambda _: None)
    ((answerer, answers),) = outage.answered_by.items()
    assert answerer.startswith("cloud")
    assert answers == len(files)


@pytest.mark.parametrize("node", ["cloud", "edge"])
def test_a_container_has_few_rights(pair: Pair, node: str) -> None:
    container = replace(getattr(pair, node), health=("python", "-c", _LOOK))
    argv = container.health_argv(pair.folder / "root", pair.folder / "hosts")
    done = pair.link.device.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


_LOOK = """
import errno, os, pathlib
assert os.getuid() and os.getgid()
status = pathlib.Path("/proc/self/status").read_text()
assert "CapEff:\\t0000000000000000" in status and "NoNewPrivs:\\t1" in status
for place in ("/", "/app", "/opt/venv", "/run/secrets"):
    assert os.statvfs(place).f_flag & os.ST_RDONLY, place
pathlib.Path("/tmp/file").touch()
assert pathlib.Path("/run/secrets/api-key").read_text()
"""
