"""The pair across a slow link, measured: ``python -m tests.e2e.two_nodes``.

Both containers of docker-compose.yml run at the ends of a link (see ``splitwire.report.testbed.shaped_link``) that has one rate after
the other, and then is cut in the middle of a run. Needs root.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from splitwire.models.training.data.pictures import load_pictures
from splitwire.report.testbed.shaped_link import BURST_BYTES, obstacle
from splitwire.shared.bundle import default_bundle_path, load_manifest
from splitwire.shared.errors import SplitwireError
from splitwire.shared.evaluation import Share, share
from tests.e2e import wire
from tests.e2e.accuracy import sample_files
from tests.e2e.containers import Mount
from tests.e2e.pair import PairError, running_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from splitwire.shared.bundle import Manifest
    from tests.e2e.pair import Pair, Run

PLAN = {10_000_000: 200, 256_000: 100, 20_000: 20}
"""Bits a second: pictures."""
PICTURE = "picture"
"""The plain file, sent to a cloud that runs everything."""
AUTO = "auto"
_PATIENT = {"SPLITWIRE_DEADLINE_MS": "600000", "SPLITWIRE_FALLBACK": "false"}
"""What every fixed quality is run with, so that the cloud answers everything; auto keeps its deadline."""

COURSE = (10_000_000, 256_000, 20_000, 256_000, 10_000_000)
"""Bits a second, one after the other while one process works with ``--quality auto``."""
_COURSE_PICTURES = 100
_COURSE_DEADLINE_MS = 2000

_OUTAGE_RATE = 256_000
_OUTAGE_PICTURES = 200
"""So many that ``classify``, whose device goes on alone, is not over before the link is back."""
_OUTAGE_SECONDS = 5


class Measured(BaseModel):
    """One way at one rate (bits a second); bytes are the interface's, Ethernet's headers included.

    ``answered_by``: pictures by source (cloud, device) and quality.
    """

    rate: int
    way: str
    pictures: int
    seconds: float
    pictures_a_second: float
    bytes_sent: int
    bytes_received: int
    accuracy: Share
    answered_by: dict[str, int]
    device_memory_bytes: int


class Leg(BaseModel):
    """A part of a course at one rate (bits a second): who answered, and the last reason that ``auto`` gave.

    ``slowest_ms``: the longest time of a picture, from its leaving the queue to its answer.
    """

    rate: int
    pictures: int
    answered_by: dict[str, int]
    slowest_ms: float
    reason: str


class Outage(BaseModel):
    """A run in whose middle the link was cut for some seconds: every picture has exactly one answer."""

    command: str
    rate: int
    pictures: int
    answers_before: int
    seconds_cut: float
    seconds: float
    answered_by: dict[str, int]


class Results(BaseModel):
    """All of it."""

    bundle: str
    delay_ms: float
    delayed_by: str
    burst_bytes: int
    machine: str
    python: str
    measured: list[Measured]
    course_deadline_ms: int
    course: list[Leg]
    outages: list[Outage]
    cloud_memory_bytes: int
    cloud_memory_limit: int
    device_memory_limit: int


def chosen_qualities(manifest: Manifest) -> list[str]:
    """Take ``paper``, ``int8``, and the first and the last of the learned ones."""
    learned = [name for name, quality in manifest.qualities.items() if quality.codec == "factorised"]
    return ["paper", "int8", *dict.fromkeys([*learned[:1], *learned[-1:]])]


def checked(run: Run, pictures: Iterable[Path]) -> dict[str, str]:
    """Give the answers by name of the file, after seeing that every picture has exactly one.

    Raises:
        PairError: that is not so.

    """
    names = [Path(result["path"]).name for result in run.results]
    expected = {path.name for path in pictures}
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    missing = sorted(expected - set(names))
    unanswered = [result["path"] for result in run.results if result["error"] or not result["label"]]
    if twice or missing or unanswered or len(names) != len(expected):
        raise PairError(f"answered twice: {twice}; not at all: {missing}; with an error: {unanswered}")
    return {name: result["label"] for name, result in zip(names, run.results, strict=True)}


def answered_by(results: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Count answers by source, and by quality where the cloud answered."""
    sources = (
        result["source"] if result["source"] == "device" else f"{result['source']} {result['quality']}"
        for result in results
    )
    return dict(Counter(sources).most_common())


def measure(pair: Pair, way: str, rate: int, files: dict[str, Path], said: Callable[[int], None]) -> Measured:
    """Classify all files one way at one rate.

    Raises:
        PairError: a picture was not answered, or more than once.

    """
    pair.link.set_rate(rate)
    folder = next(iter(files.values())).parent
    if way == PICTURE:
        run = pair.send_files(folder, said)
    else:
        environment = {} if way == AUTO else _PATIENT
        run = pair.classify(folder, "--quality", way, environment=environment, said=said)
    labels = checked(run, files.values())
    return Measured(
        rate=rate,
        way=way,
        pictures=len(files),
        seconds=run.seconds,
        pictures_a_second=len(files) / run.seconds,
        bytes_sent=run.traffic.sent,
        bytes_received=run.traffic.received,
        accuracy=share(sum(labels[name] == Path(name).stem.partition("-")[0] for name in files), len(files)),
        answered_by=answered_by(run.results),
        device_memory_bytes=run.memory,
    )


def drive(
    pair: Pair, files: dict[str, Path], rates: Sequence[int], deadline_ms: int, said: Callable[[int], None]
) -> list[Leg]:
    """Let one process choose qualities by itself, while the link gets slower and faster under it."""
    length = len(files) // len(rates)

    def shape(answers: int) -> None:
        said(answers)
        if answers % length == 0 and answers // length < len(rates):
            pair.link.set_rate(rates[answers // length])

    pair.link.set_rate(rates[0])
    run = pair.classify(
        next(iter(files.values())).parent,
        "--quality",
        AUTO,
        environment={"SPLITWIRE_DEADLINE_MS": str(deadline_ms)},
        said=shape,
    )
    checked(run, files.values())
    legs = [run.results[number * length : (number + 1) * length] for number in range(len(rates))]
    return [
        Leg(
            rate=rate,
            pictures=len(leg),
            answered_by=answered_by(leg),
            slowest_ms=max(result["timings_ms"]["total"] for result in leg),
            reason=leg[-1]["reason"] or "",
        )
        for rate, leg in zip(rates, legs, strict=True)
    ]


class _Cut:
    """Cuts the link when there are some answers, and restores it some seconds later."""

    def __init__(self, pair: Pair, after: int, seconds: float, said: Callable[[int], None]) -> None:
        self._pair = pair
        self._after = after
        self._seconds = seconds
        self._said = said
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """See that the link is not restored after its end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def said(self, answers: int) -> None:
        self._said(answers)
        if answers == self._after:
            wire.cut(self._pair.link)
            self._timer = threading.Timer(self._seconds, wire.restore, [self._pair.link])
            self._timer.start()

    def restored(self) -> None:
        """Wait for that.

        Raises:
            PairError: the run was over before.

        """
        if self._timer is None or not self._timer.finished.is_set():
            raise PairError("the run was over before the link was restored")
        self._timer.join()


def outage_while_classifying(
    pair: Pair, files: dict[str, Path], rate: int, seconds: float, said: Callable[[int], None]
) -> Outage:
    """Cut the link while ``edge-client classify`` runs as docker-compose.yml says, with its deadline and fallback."""
    pair.link.set_rate(rate)
    with _Cut(pair, len(files) // 3, seconds, said) as cut:
        run = pair.classify(next(iter(files.values())).parent, said=cut.said)
        checked(run, files.values())
        cut.restored()
    return Outage(
        command="classify",
        rate=rate,
        pictures=len(files),
        answers_before=len(files) // 3,
        seconds_cut=seconds,
        seconds=run.seconds,
        answered_by=answered_by(run.results),
    )


def outage_while_watching(
    pair: Pair, files: dict[str, Path], rate: int, seconds: float, said: Callable[[int], None]
) -> Outage:
    """Cut the link while ``edge-client watch`` works off a folder: the cloud must answer everything, later.

    Raises:
        PairError: a picture was not answered, or more than once, or the outbox says something else.

    """
    pair.link.set_rate(rate)
    with TemporaryDirectory() as name, _Cut(pair, len(files) // 3, seconds, said) as cut:
        outbox = Path(name) / "outbox.sqlite"
        user = int(pair.edge.image.user.partition(":")[0])
        os.chown(name, user, user)
        run = pair.classify(
            next(iter(files.values())).parent,
            command=("watch", "/pictures", "--once", "--outbox", "/outbox/outbox.sqlite"),
            environment={"SPLITWIRE_DEADLINE_MS": "3000"},
            mounts=[Mount(source=outbox.parent, target="/outbox", writable=True)],
            said=cut.said,
        )
        labels = checked(run, files.values())
        with closing(sqlite3.connect(outbox)) as database:
            rows = database.execute("SELECT path, label, state, source FROM pictures").fetchall()
        cut.restored()
    kept = {
        Path(path).name: label
        for path, label, state, source in rows
        if (state, source) == ("answered", "cloud")
    }
    if kept != labels or len(rows) != len(files):
        raise PairError(f"the outbox has {len(rows)} rows, {len(kept)} of them answered by the cloud")
    return Outage(
        command="watch",
        rate=rate,
        pictures=len(files),
        answers_before=len(files) // 3,
        seconds_cut=seconds,
        seconds=run.seconds,
        answered_by=answered_by(run.results),
    )


def _all(data: Path, delay_ms: float, progress: Progress, folder: Path) -> Results:
    manifest = load_manifest(default_bundle_path())
    pictures = load_pictures(data, "test")
    samples: dict[int, dict[str, Path]] = {}
    for count in {*PLAN.values(), _COURSE_PICTURES, _OUTAGE_PICTURES}:
        place = folder / str(count)
        place.mkdir()
        samples[count] = sample_files(pictures, count, place)
    measured: list[Measured] = []
    outages: list[Outage] = []

    def bar(text: str, total: int) -> Callable[[int], None]:
        task = progress.add_task(text, total=total)
        return lambda done: progress.update(task, completed=done)

    with running_pair(rate=max(PLAN), delay_ms=delay_ms, whole_network=True) as pair:
        for rate, count in PLAN.items():
            for way in (*chosen_qualities(manifest), AUTO, PICTURE):
                said = bar(f"{_rate(rate)}  {way}", count)
                measured.append(measure(pair, way, rate, samples[count], said))
        said = bar("there and back  auto", _COURSE_PICTURES)
        course = drive(pair, samples[_COURSE_PICTURES], COURSE, _COURSE_DEADLINE_MS, said)
        for name, outage in (("watch", outage_while_watching), ("classify", outage_while_classifying)):
            said = bar(f"{_rate(_OUTAGE_RATE)}  {name}, cut", _OUTAGE_PICTURES)
            outages.append(outage(pair, samples[_OUTAGE_PICTURES], _OUTAGE_RATE, _OUTAGE_SECONDS, said))
        return Results(
            bundle=manifest.id,
            delay_ms=delay_ms,
            delayed_by=pair.link.delayed_by,
            burst_bytes=BURST_BYTES,
            machine=f"{os.cpu_count()} x {platform.machine()}",
            python=platform.python_version(),
            measured=measured,
            course_deadline_ms=_COURSE_DEADLINE_MS,
            course=course,
            outages=outages,
            cloud_memory_bytes=pair.cloud_memory(),
            cloud_memory_limit=pair.cloud.memory,
            device_memory_limit=pair.edge.memory,
        )


def _show(results: Results, console: Console) -> None:
    table = Table("link", "way", "pictures", "a second", "sent", "received", "right", "answered by", box=None)
    for each in results.measured:
        table.add_row(
            _rate(each.rate),
            each.way,
            str(each.pictures),
            f"{each.pictures_a_second:.2f}",
            f"{each.bytes_sent / each.pictures:,.0f}",
            f"{each.bytes_received / each.pictures:,.0f}",
            f"{each.accuracy.value:.1%}",
            _counts(each.answered_by),
        )
    console.print("bytes a picture, as the device's interface counts them:")
    console.print(table)
    console.print(
        f"one process with auto, {results.course_deadline_ms} ms a picture, the rate changed under it:"
    )
    course = Table("link", "answered by", "slowest, ms", "why", box=None)
    for leg in results.course:
        course.add_row(_rate(leg.rate), _counts(leg.answered_by), f"{leg.slowest_ms:,.0f}", leg.reason)
    console.print(course)
    for outage in results.outages:
        console.print(
            f"{outage.command}: cut for {outage.seconds_cut:g} s after {outage.answers_before} answers; "
            f"each of {outage.pictures} pictures has exactly one: {_counts(outage.answered_by)}"
        )


def _rate(rate: int) -> str:
    return f"{rate / 1e6:g} Mbit/s" if rate >= 1_000_000 else f"{rate / 1e3:g} kbit/s"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON; exit code 1 where a picture was lost or answered twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SPLITWIRE_DATA"))
    parser.add_argument("--delay-ms", type=float, default=20, help="each way")
    parser.add_argument("--out", type=Path, default=Path("build/two-nodes.json"))
    options = parser.parse_args(arguments)
    if reason := obstacle():
        parser.error(reason)
    if options.data is None:
        parser.error("name the data set with --data or SPLITWIRE_DATA")
    signal.signal(signal.SIGTERM, _stop)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    try:
        with TemporaryDirectory() as name, Progress(*columns, console=console) as progress:
            results = _all(options.data, options.delay_ms, progress, Path(name))
    except (PairError, SplitwireError, OSError) as exc:
        sys.exit(f"error: {exc}")
    except KeyboardInterrupt:
        sys.exit(130)
    _show(results, Console())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(results.model_dump_json(indent=2) + "\n")
    console.print(f"{options.out}, {time.monotonic() - started:.0f} s")


def _stop(*_: Any) -> None:  # noqa: ANN401 - as signal calls it
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
