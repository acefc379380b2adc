"""Accuracy of ``edge-client classify`` over loopback: ``python -m tests.e2e.accuracy``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from splitwire.models.training.data.pictures import Pictures, load_pictures, stratified_sample
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.evaluation import share
from tests.processes import running_cloud


def sample_files(pictures: Pictures, count: int, folder: Path) -> dict[str, Path]:
    """Write a balanced sample (seed 0) as files: ``class-name`` -> path."""
    chosen = pictures.subset(stratified_sample(pictures.labels, count, seed=0, setting="count"))
    files: dict[str, Path] = {}
    for name, label, data in zip(chosen.names, chosen.labels, chosen.files, strict=True):
        short = f"{chosen.classes[label]}-{Path(name).name}"
        files[short] = folder / short
        files[short].write_bytes(data)
    return files


def classify(files: dict[str, Path], cloud: str, quality: str) -> list[dict[str, Any]]:
    """Run the real command over files: its results, in order."""
    command = [
        sys.executable,
        "-m",
        "splitwire.edge.commands.cli",
        "classify",
        "--cloud",
        cloud,
        "--json",
        "--quality",
        quality,
    ]
    results: list[dict[str, Any]] = []
    with (
        stage_progress() as progress,
        subprocess.Popen([*command, *map(str, files.values())], stdout=subprocess.PIPE, text=True) as process,
    ):
        task = progress.add_task(f"edge-client classify --quality {quality}", total=len(files), note="")
        for line in process.stdout or ():
            results.append(json.loads(line))
            progress.update(task, advance=1)
    if process.returncode:
        sys.exit(process.returncode)
    return results


def main() -> None:
    """Print accuracy and bytes a picture as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SPLITWIRE_DATA"))
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--quality", default="int8")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data set with --data or SPLITWIRE_DATA")
    pictures = load_pictures(Path(options.data), "test")
    with tempfile.TemporaryDirectory() as folder, running_cloud() as cloud:
        files = sample_files(pictures, options.limit, Path(folder))
        results = classify(files, cloud, options.quality)
    right = sum(result["label"] == Path(result["path"]).name.split("-")[0] for result in results)
    bodies = sum(result["body_bytes"] for result in results)
    summary = {
        "quality": options.quality,
        "accuracy": share(right, len(results)).model_dump(),
        "body_bytes": bodies / len(results),
        "sources": sorted({result["source"] for result in results}),
    }
    print(json.dumps(summary, indent=2))  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
