"""``edge-client bench`` times the device and names a quality for each link."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from splitwire.edge.commands.bench import LINKS
from splitwire.shared.bundle import load_manifest
from tests.edge.command import edge_client

if TYPE_CHECKING:
    from pathlib import Path


def test_stages_and_links_are_all_there(bundle_path: Path) -> None:
    result = edge_client("bench", "--json", "--deadline-ms", 5000)
    measured = json.loads(result.stdout)
    assert measured["qualities"].keys() == load_manifest(bundle_path).qualities.keys()
    assert measured["head_ms"] > measured["qualities"]["paper"]["encode_ms"] > 0
    assert measured["best_by_link"].keys() == LINKS.keys()
    slowest = measured["qualities"]["paper"]["seconds_by_link"]["5 kbit/s, 1 s"]
    assert slowest > 8 * 12_806 / 5_000 + 1
    assert measured["best_by_link"]["5 kbit/s, 1 s"] != "paper"


def test_people_get_a_table() -> None:
    result = edge_client("bench")
    assert result.exit_code == 0
    assert "the most accurate that answers within 1,000 ms" in result.stdout
