"""What breaks around the software: ``make faults``."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx
import numpy as np

from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.bundle import MANIFEST, default_bundle_path, load_bundle
from tests.cloud.application import OCTETS, frame_of
from tests.load.bound import PATIENCE_SECONDS, end_within, wait_until
from tests.load.clouds import a_proxy_that_dies, answers_without_end, lists_that_no_cloud_has
from tests.load.devices import bundles_that_nobody_made, one_client_for_all, words_of_others
from tests.load.pictures import bombs_in_a_watched_folder, deleted_outbox, killed_leaves_nothing
from tests.load.report import Row, finish
from tests.processes import cloud_process, free_port
from tests.watched import put_picture, rows, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MINUTES = 4
"""When it ends, done or not."""
PICTURES = 150
KILLS = 5
REQUESTS = 500


def killed_while_watching(folder: Path, pictures: int, kills: int) -> Row:
    """Kill the cloud again and again while ``edge-client watch`` works; every picture has one answer."""
    port = str(free_port())
    for number in range(pictures):
        put_picture(folder / f"{number:04}.png", number)
    options = ["--cloud", f"http://127.0.0.1:{port}", "--deadline-ms", "2000", "--json"]
    with (
        tempfile.TemporaryFile("w+") as output,  # not a pipe: nobody reads it before the end
        _edge_client("watch", folder, *options, output=output) as watching,
    ):
        for kill in range(1, kills + 1):
            with cloud_process("--port", port) as cloud:
                _wait_for_answers(folder, kill * pictures // (kills + 1))
                cloud.process.kill()
        with cloud_process("--port", port):
            _wait_for_answers(folder, pictures)
            watching.send_signal(signal.SIGTERM)
            watching.wait(timeout=PATIENCE_SECONDS)
        output.seek(0)
        lines = [json.loads(line) for line in output]
    answers = {Path(row["path"]).name: row["label"] for row in rows(folder)}
    said = {Path(line["path"]).name: line["label"] for line in lines}
    return Row(
        name=f"edge-client watch, {pictures} pictures, the cloud killed {kills} times",
        value=f"{len(answers)} rows, {len(lines)} lines, exit code {watching.returncode}",
        wanted="one row and one line each",
        reached=answers == said and len(answers) == len(lines) == pictures and watching.returncode == 0,
    )


def killed_while_classifying(folder: Path, pictures: int) -> Row:
    """Kill the cloud under ``edge-client classify`` and start it again; every picture has its answer."""
    port = str(free_port())
    files = [put_picture(folder / f"{number:04}.png", number) for number in range(pictures)]
    options = ["--cloud", f"http://127.0.0.1:{port}", "--deadline-ms", "60000", "--no-fallback", "--json"]
    with _edge_client("classify", *files, *options) as classifying:
        assert classifying.stdout is not None
        with cloud_process("--port", port) as cloud:
            first = classifying.stdout.readline()
            cloud.process.kill()
        with cloud_process("--port", port):
            rest = classifying.stdout.readlines()  # not communicate: what readline read ahead would be lost
            classifying.wait(timeout=PATIENCE_SECONDS)
    records = [json.loads(line) for line in [first, *rest]]
    labelled = Counter(record["path"] for record in records if record["label"])
    return Row(
        name=f"edge-client classify, {pictures} pictures, the cloud killed and started again",
        value=f"{labelled.total()} answers, exit code {classifying.returncode}",
        wanted="one answer each",
        reached=labelled == Counter(map(str, files)) and classifying.returncode == 0,
    )


def full_disk(requests: int) -> Row:
    """Serve with a log that can't be written, from its first line on."""
    port = free_port()
    bundle = load_bundle(default_bundle_path(), "device")
    frame = frame_of(bundle, [np.zeros(bundle.quality("paper").latent_shape, np.float32)])
    url, command = (
        f"http://127.0.0.1:{port}",
        [sys.executable, "-m", "splitwire.cloud.entry", "--port", str(port)],
    )
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen(command, stderr=full) as cloud,
        httpx.Client(headers=OCTETS) as client,
    ):
        try:
            wait_until(lambda: _is_ready(url))
            statuses = Counter(
                client.post(f"{url}/infer", content=frame).status_code for _ in range(requests)
            )
            cloud.terminate()
            cloud.wait(PATIENCE_SECONDS)
        finally:
            cloud.kill()
    return Row(
        name="cloud-server, its log on a full disk",
        value=f"{statuses[200]} of {requests} requests answered, exit code {cloud.returncode}",
        wanted="all answered, exit code 0",
        reached=statuses == {200: requests} and cloud.returncode == 0,
    )


def damaged_bundle(folder: Path, side: str, name: str, damage: str) -> Row:
    """Start one side with a bundle one of whose files is cut short, has a bit changed, or is gone."""
    bundle = Path(shutil.copytree(default_bundle_path(), folder / "bundle"))
    file = bundle / name
    data = bytearray(file.read_bytes())
    if damage == "cut short":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "a bit changed":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:
        file.unlink()
    command = {
        "cloud-server": ["splitwire.cloud.entry", "--port", "0"],
        "edge-client": ["splitwire.edge.commands.cli", "classify", str(put_picture(folder / "a.png", 0))],
    }[side]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--bundle", str(bundle)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    shutil.rmtree(bundle)
    lines = (done.stdout + done.stderr).splitlines()
    return Row(
        name=f"{side}, {name} {damage}",
        value=f"exit code {done.returncode}: {' / '.join(lines).replace(str(folder), '...')}",
        wanted="one line that names the file, exit code 4",
        reached=done.returncode == 4 and len(lines) == 1 and name in lines[0],
    )


DAMAGES = (
    ("cloud-server", "cloud/classifier.safetensors", "cut short"),
    ("cloud-server", "cloud/cae.safetensors", "a bit changed"),
    ("cloud-server", "codecs/int8.safetensors", "gone"),
    ("cloud-server", MANIFEST, "cut short"),
    ("edge-client", "device/vgg16.ncnn.bin", "a bit changed"),
    ("edge-client", "device/vgg16.ncnn.param", "cut short"),
    ("edge-client", MANIFEST, "a bit changed"),
)


def main() -> None:
    """Try every fault."""
    end_within(MINUTES)
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary, stage_progress() as progress:
        folder = Path(temporary)
        faults: list[Callable[[], Row | list[Row]]] = [
            lambda: killed_while_watching(folder / "watched", PICTURES, KILLS),
            lambda: killed_while_classifying(folder / "classified", PICTURES),
            lambda: full_disk(REQUESTS),
            *(lambda damage=damage: damaged_bundle(folder, *damage) for damage in DAMAGES),
            lambda: bundles_that_nobody_made(folder / "giants"),
            lambda: bombs_in_a_watched_folder(folder / "bombs"),
            lambda: deleted_outbox(folder / "deleted"),
            lambda: killed_leaves_nothing(folder / "killed"),
            answers_without_end,
            lists_that_no_cloud_has,
            a_proxy_that_dies,
            lambda: words_of_others(folder / "words"),
            lambda: one_client_for_all(folder / "shared"),
        ]
        task = progress.add_task("faults", total=len(faults), note="")
        for fault in faults:
            rows = fault()
            found += [rows] if isinstance(rows, Row) else rows
            progress.update(task, advance=1, note=found[-1].name)
    finish(
        "faults",
        "kill -9 and restart, a full disk for logs, damaged bundles, hostile pictures, clouds and words",
        found,
    )


@contextmanager
def _edge_client(
    *arguments: object, output: IO[str] | int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "splitwire.edge.commands.cli", *map(str, arguments)]
    with subprocess.Popen(command, stdout=output, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for_answers(folder: Path, wanted: int) -> None:
    while (count := _answered(folder)) < wanted:
        wait_until(lambda: _answered(folder) > count)


def _answered(folder: Path) -> int:
    try:
        return Counter(states(folder).values())["answered"]
    except sqlite3.OperationalError:  # there is no record yet
        return 0


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
