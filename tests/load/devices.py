"""A device among bundles, words and threads that mean no good: cases of ``make faults``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitwire.shared.bundle import MANIFEST, default_bundle_path, manifest_digest
from tests.load.report import Row
from tests.processes import cloud_process
from tests.raw_server import raw_server, reply
from tests.watched import put_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 60
_THREADS = 8
_ESCAPES = "\x1b[2J\x9b31m\u202e\r\n"
_TOGETHER = """
import os, sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor
from splitwire import Client
from splitwire.shared.errors import SplitwireError

warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of a fork beside threads
picture, cloud, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = Client(cloud=cloud, deadline_ms=20_000)
start = threading.Barrier(threads)

def classify(_):
    start.wait()
    return client.classify(picture).label

with ThreadPoolExecutor(threads) as pool:
    labels = list(pool.map(classify, range(threads)))
reading, writing = os.pipe()
if not os.fork():
    try:
        os.write(writing, client.classify(picture).label.encode())
    finally:
        os._exit(0)
os.close(writing)
with os.fdopen(reading) as child:
    labels.append(child.read())
ends = []

def on_and_on():
    try:
        while True:
            client.classify(picture)
    except SplitwireError as error:
        ends.append(type(error).__name__)
    except BaseException as error:
        ends.append(f"not ours: {error!r}")

callers = [threading.Thread(target=on_and_on) for _ in range(threads)]
for caller in callers:
    caller.start()
for caller in callers:
    while caller.is_alive():
        client.close()
        caller.join(0.05)
client.close()
print(len(labels), len(set(labels)), sorted(set(ends)), len(ends))
"""


def _edge_client(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "splitwire.edge.commands.cli", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    return done.returncode, (done.stdout + done.stderr).decode()


def bundles_that_nobody_made(folder: Path) -> Row:
    """Use bundles of a giant picture, of a class for everyone, and with endless devices for files."""
    shutil.copytree(default_bundle_path(), folder)
    picture = str(put_picture(folder / "a.png", 0))
    manifest = folder / MANIFEST
    values: dict[str, Any] = json.loads(manifest.read_bytes())
    giants: Sequence[dict[str, Any]] = (
        {"preparation": {**values["preparation"], "size": 1024}},
        {"classes": [str(number) for number in range(1 << 17)]},
        {"feature_shape": [1 << 30, 1 << 10, 1 << 10]},
    )
    ends = []
    for change in giants:
        changed = {**values, **change}
        manifest.write_text(json.dumps({**changed, "digest": manifest_digest(changed)}))
        ends.append(_edge_client("classify", picture, "--bundle", str(folder)))
    manifest.write_text(json.dumps(values))
    for name in ("device/vgg16.ncnn.bin", MANIFEST):
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")
        ends.append(_edge_client("classify", picture, "--bundle", str(folder)))
    refused = sum(code == 4 and len(lines.splitlines()) == 1 for code, lines in ends)
    return Row(
        name="edge-client classify, a bundle of giant numbers, or with an endless device for a file",
        value=f"{refused} of {len(ends)} refused with exit code 4 in one line",
        wanted="all",
        reached=refused == len(ends),
    )


def words_of_others(folder: Path) -> Row:
    """Answer with escapes in labels and messages, and a password in the URL: none of it is printed as it is."""
    picture = str(put_picture(folder / "a.png", 0))
    label = {"label": f"cat{_ESCAPES}", "class_id": 3, "probability": 0.9}
    answer = {
        "predictions": [{**label, "top": [label]}],
        "bundle": "b",
        "quality": "int8",
        "device": "cpu",
        "timings_ms": {"decode": 0, "queue": 0, "tail": 0},
    }
    refusal = {"error": "FrameTruncated", "message": _ESCAPES * 10_000}
    printed = []
    for body, status in ((answer, "200 OK"), (refusal, "400 Bad Request")):
        content = reply(json.dumps(body).encode(), "Content-Type: application/json", status=status)
        with raw_server(lambda *_, content=content: content) as server:
            url = server.url.replace("://", "://me:secret-word@")
            printed += [
                _edge_client("classify", picture, "--cloud", url, "--no-fallback", *options)
                for options in ((), ("--json",))
            ]
    clean = sum(
        code == 6
        and all(line.isprintable() and len(line) < 2_000 for line in lines.splitlines())
        and "secret-word" not in lines
        for code, lines in printed
    )
    return Row(
        name="edge-client classify, escapes in labels and messages, a password in the URL",
        value=f"{clean} of {len(printed)} printed nothing of it, exit code 6",
        wanted="all",
        reached=clean == len(printed),
    )


def one_client_for_all(folder: Path) -> Row:
    """Share one ``Client`` among threads, take it through a fork, close it during calls."""
    picture = str(put_picture(folder / "a.png", 0))
    with cloud_process() as cloud:
        command = [sys.executable, "-c", _TOGETHER, picture, cloud.url, str(_THREADS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    said = done.stdout.strip()
    return Row(
        name=f"one Client: {_THREADS} threads that open it, a fork, close during {_THREADS} calls",
        value=said or done.stderr.strip().rpartition("\n")[2],
        wanted=f"{_THREADS + 1} equal answers, every cut call a ClientClosed",
        reached=said == f"{_THREADS + 1} 1 ['ClientClosed'] {_THREADS}",
    )
