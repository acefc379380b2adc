"""What a device takes: heads, overlap, start, memory and bytes, on test pictures: ``make bench``.

A real ``edge-client`` and a real ``cloud-server`` on loopback; the head's backends are timed in turn,
picture by picture, so that what else the machine does falls on both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from threadpoolctl import threadpool_limits

from splitwire.edge.compute.coder import Coder
from splitwire.edge.compute.head import open_head
from splitwire.models.training.data.pictures import load_pictures
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.evaluation import load_evaluation
from splitwire.shared.frame import Frame, pack
from splitwire.shared.pictures.loading import load_picture, prepare
from tests.e2e.accuracy import sample_files
from tests.processes import cloud_process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from splitwire.edge.compute.head import Head

TIMED, MANY, STARTS, ROUNDS = 20, 200, 5, 3
_WITH_MEMORY = (
    "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"
)
"""Runs a command in a small process: a child's highest memory counts that of the process it was forked from."""


def file_to_frame(files: list[Path]) -> dict[str, Any]:
    """Median milliseconds from a picture file to its frame, by backend; torch at its best thread count."""
    bundle = load_bundle(default_bundle_path(), "device")
    coder = Coder(bundle, bundle.manifest.default_quality)
    output = coder.outputs[coder.quality]
    reference, threads = open_head("torch", bundle, [output]), torch.get_num_threads()

    def with_threads(count: int) -> Head:
        def head(picture: Any) -> Any:  # noqa: ANN401 - passed on as they are
            torch.set_num_threads(count)
            return reference(picture)

        return head

    heads: dict[str, Head] = {
        "ncnn": open_head("ncnn", bundle, [output]),
        "ncnn, low memory": open_head("ncnn", bundle, [output], low_memory=True),
        **{f"torch, {count} threads": with_threads(count) for count in range(1, threads + 1)},
    }

    def framing(head: Head) -> Callable[[Path], bytes]:
        def frame(file: Path) -> bytes:
            picture = prepare(load_picture(file), bundle.manifest.preparation)
            return pack(
                Frame(
                    fingerprint=0, quality=0, payloads=(coder.encode(head(picture)[output], coder.quality),)
                )
            )

        return frame

    times = _in_turn({name: framing(head) for name, head in heads.items()}, files)
    torchs = min(value for name, value in times.items() if name.startswith("torch"))
    return {
        "file_to_frame_ms": times,
        "ncnn_is_times_as_fast_as_torch": torchs / times["ncnn"],
        "low_memory_takes_times_as_long": times["ncnn, low memory"] / times["ncnn"],
    }


def commands(files: list[Path], cloud: str, idle_cloud: str) -> dict[str, Any]:
    """Start to answer, memory, throughput and bytes of the command itself.

    Many pictures are also sent to a cloud whose tail does nothing, as if it computed elsewhere: here the two share
    the cores.
    """
    evaluation = load_evaluation(default_bundle_path())
    assert evaluation is not None
    sizes = {name: score.body_bytes for name, score in evaluation.scores.items() if score.body_bytes}
    smallest = min(sizes, key=lambda name: sizes[name])
    one = [_client([files[0]], cloud) for _ in range(STARTS)]
    low = _client([files[0]], cloud, "--low-memory")
    many = _client(files, cloud, "--quality", smallest)
    started = statistics.median(run["seconds"] for run in one)

    def ms_a_picture(run: dict[str, Any]) -> float:
        return float(1e3 * (run["seconds"] - started) / (len(files) - 1))

    alone, to_idle = [_head_alone(files)], []
    for _ in range(ROUNDS):
        to_idle.append(ms_a_picture(_client(files, idle_cloud, "--quality", smallest)))
        alone.append(_head_alone(files))
    answered = [record for record in many["records"] if record["source"] == "cloud"]
    return {
        "start_to_answer_seconds": started,
        "resident_mb": max(run["resident_mb"] for run in one),
        "low_memory_resident_mb": low["resident_mb"],
        "many": {
            "quality": smallest,
            "pictures": len(files),
            "answered_by_the_cloud": len(answered),
            "ms_a_picture": ms_a_picture(many),
            "ms_a_picture_with_an_idle_tail": statistics.median(to_idle),
            "head_alone_ms_a_picture": statistics.median(alone),
            "times_the_head_alone": statistics.median(
                2 * run / (before + after)
                for run, (before, after) in zip(to_idle, pairwise(alone), strict=True)
            ),
            "body_bytes_a_picture": statistics.mean(record["body_bytes"] for record in answered),
            "wire_bytes_a_picture": statistics.mean(record["wire_bytes"] for record in answered),
        },
    }


def _head_alone(files: list[Path]) -> float:
    command = [sys.executable, "-m", "tests.bench.head_alone", *map(str, files)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _in_turn(runs: dict[str, Callable[[Any], object]], inputs: Sequence[Any]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number, each in enumerate([inputs[0], *inputs]):
        for name, run in runs.items():
            started = time.perf_counter()
            run(each)
            if number:  # the first one warms up
                times[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in times.items()}


def _client(files: list[Path], cloud: str, *options: str) -> dict[str, Any]:
    """Run ``edge-client classify``: its results, seconds and highest resident memory."""
    client = [
        sys.executable,
        "-m",
        "splitwire.edge.commands.cli",
        "classify",
        "--cloud",
        cloud,
        "--json",
        *options,
    ]
    command = [sys.executable, "-c", _WITH_MEMORY, *client, *map(str, files)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {
        "records": [json.loads(line) for line in done.stdout.splitlines()],
        "seconds": time.perf_counter() - started,
        "resident_mb": int(done.stderr.split()[-1]) / 1024,
    }


def main() -> None:
    """Print everything as JSON."""
    if "SPLITWIRE_DATA" not in os.environ:
        sys.exit("set SPLITWIRE_DATA to the data set whose pictures are to be classified")
    test = load_pictures(Path(os.environ["SPLITWIRE_DATA"]), "test")
    with (
        tempfile.TemporaryDirectory() as folder,
        cloud_process() as cloud,
        cloud_process(module="tests.load.idle_tail") as idle_cloud,
    ):
        files = list(sample_files(test, MANY, Path(folder)).values())
        measured = commands(files, cloud.url, idle_cloud.url)
        with threadpool_limits(limits=1, user_api="blas"):
            measured |= file_to_frame(files[:TIMED])
    json.dump(measured, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
