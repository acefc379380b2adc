"""The device's own classifier answers where the cloud does not, or where it is sure enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from splitwire.edge.compute.head import open_head
from splitwire.edge.errors import FallbackMissing
from splitwire.shared.bundle import load_bundle
from splitwire.shared.graph.reading import CLASSES
from splitwire.shared.task import task_of
from tests.edge.command import edge_client

if TYPE_CHECKING:
    from pathlib import Path

DEAD = "http://127.0.0.1:9"


def classify(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
    result = edge_client("classify", "--json", *arguments)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_it_is_an_output_of_the_graph(bundle_with_fallback: Path) -> None:
    bundle = load_bundle(bundle_with_fallback, "device")
    logits = open_head("ncnn", bundle, [CLASSES])(np.ones((3, 224, 224), np.float32))[CLASSES]
    answer = task_of(bundle.manifest).prediction(logits, 3)
    assert answer.label == "frog"
    assert answer.probability == pytest.approx(0.99, abs=0.002)
    assert len(answer.top) == 3


def test_it_answers_for_a_cloud_that_does_not(bundle_with_fallback: Path, cat: Path) -> None:
    code, (record,) = classify(cat, "--bundle", bundle_with_fallback, "--cloud", DEAD, "--deadline-ms", 1500)
    assert code == 0
    assert (record["source"], record["label"], record["error"]) == ("device", "frog", None)
    assert "is cloud-server running there" in record["reason"]
    assert record["bundle"] is None
    assert {"load", "head", "encode", "network", "total"} == set(record["timings_ms"])


def test_without_fallback_that_is_an_error(bundle_with_fallback: Path, cat: Path) -> None:
    code, (record,) = classify(
        cat, "--bundle", bundle_with_fallback, "--cloud", DEAD, "--deadline-ms", 1500, "--no-fallback"
    )
    assert code == 5
    assert record["error"]["error"] == "CloudUnreachable"
    assert record["label"] is None


def test_nothing_is_sent_where_it_is_sure_enough(bundle_with_fallback: Path, cat: Path) -> None:
    code, (record,) = classify(cat, "--bundle", bundle_with_fallback, "--cloud", DEAD, "--confident", 0.95)
    assert code == 0
    assert (record["source"], record["reason"]) == ("device", "at least 0.95 sure")
    assert (record["payload_bytes"], record["body_bytes"], record["wire_bytes"]) == (0, 0, 0)
    code, (record,) = classify(cat, "--bundle", bundle_with_fallback, "--confident", 0.999)
    assert record["source"] == "embedded"


def test_it_does_not_change_the_fingerprint_of_a_quality(
    bundle_with_fallback: Path, bundle_path: Path
) -> None:
    with_it, without = (load_bundle(path, "device").manifest for path in (bundle_with_fallback, bundle_path))
    assert with_it.fingerprint("int8") == without.fingerprint("int8")


def test_confidence_needs_a_bundle_with_it(bundle_without_fallback: Path, cat: Path) -> None:
    with pytest.raises(FallbackMissing, match="leave out --confident"):
        classify(cat, "--bundle", bundle_without_fallback, "--confident", 0.9)
