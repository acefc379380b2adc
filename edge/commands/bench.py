"""How fast this device is, and which quality suits which link."""

from __future__ import annotations

import io
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from splitwire.edge.compute.head import open_head
from splitwire.edge.compute.picture_decoder import MOST_SECONDS, PictureDecoder
from splitwire.edge.network.cost import OVERHEAD_BYTES, throughput_seconds
from splitwire.shared.bundle import load_bundle
from splitwire.shared.evaluation import load_evaluation
from splitwire.shared.graph.reading import CLASSES
from splitwire.shared.pictures.loading import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from splitwire.edge.settings import HeadSettings

LINKS = {
    "10 Mbit/s, 20 ms": (10e6, 0.02),
    "1 Mbit/s, 50 ms": (1e6, 0.05),
    "256 kbit/s, 100 ms": (256e3, 0.1),
    "64 kbit/s, 200 ms": (64e3, 0.2),
    "20 kbit/s, 500 ms": (20e3, 0.5),
    "5 kbit/s, 1 s": (5e3, 1.0),
}
"""Bits a second both ways together, and round trip in seconds."""
_REPEATS = 9
_SIZE = (640, 480)


class QualityTimes(BaseModel):
    """One quality: milliseconds to encode, the mean body, and seconds from file to answer by link."""

    model_config = ConfigDict(frozen=True)

    encode_ms: float
    body_bytes: float | None
    seconds_by_link: dict[str, float]


class Bench(BaseModel):
    """Medians of nine runs, milliseconds; ``best_by_link``: the most accurate quality under ``deadline_ms``."""

    model_config = ConfigDict(frozen=True)

    head: str
    load_ms: float
    head_ms: float
    qualities: dict[str, QualityTimes]
    deadline_ms: float
    best_by_link: dict[str, str | None]

    def lines(self) -> list[str]:
        """Write it for people."""
        lines = [
            f"load {self.load_ms:.1f} ms, head ({self.head}) {self.head_ms:.1f} ms",
            f"{'quality':8} {'encode, ms':>10} {'bytes':>9}  seconds from file to answer:",
        ]
        for name, times in self.qualities.items():
            size = "" if times.body_bytes is None else f"{times.body_bytes:,.1f}"
            links = ", ".join(f"{seconds:.2f} ({link})" for link, seconds in times.seconds_by_link.items())
            lines.append(f"{name:8} {times.encode_ms:>10.2f} {size:>9}  {links}")
        lines.append(f"the most accurate that answers within {self.deadline_ms:,.0f} ms:")
        return [*lines, *(f"  {link:20} {best or 'none'}" for link, best in self.best_by_link.items())]


def bench(settings: HeadSettings, deadline_ms: float) -> Bench:
    """Time loading (a 640 x 480 JPEG of noise), the head and every quality; work out the links.

    What the cloud takes is not part of it: a few milliseconds where it is idle.

    Raises:
        BundleError: the bundle can't be used.
        PackagesMissing: the head is not installed.

    """
    bundle = load_bundle(settings.bundle, "device")
    evaluation = load_evaluation(settings.bundle)
    scores = evaluation.scores if evaluation else {}
    manifest, own = bundle.manifest, [CLASSES] if bundle.manifest.fallback else []
    outputs = {name: quality.output for name, quality in manifest.qualities.items()}
    head = open_head(settings.head, bundle, [*outputs.values(), *own], low_memory=settings.low_memory)
    file = _noise()
    preparation = bundle.manifest.preparation
    with closing(PictureDecoder()) as decoder:

        def load() -> NDArray[np.float32]:
            return normalise(decoder(file, "noise", preparation.view, MOST_SECONDS), preparation)

        picture = load()
        load_ms = _median(load)

    def run(*names: str) -> list[NDArray[np.float32]]:
        computed = head(picture)
        return [computed[name] for name in names]

    heads = {output: _median(lambda: run(*own, output)) for output in dict.fromkeys(outputs.values())}  # noqa: B023 - called at once
    qualities: dict[str, QualityTimes] = {}
    for name, output in outputs.items():
        (latent,), codec = run(output), bundle.codec(name)
        encode_ms = _median(lambda: codec.encode(codec.quantise(latent)))  # noqa: B023 - called at once
        size = scores[name].body_bytes if name in scores else None
        device = (load_ms + heads[output] + encode_ms) / 1e3
        qualities[name] = QualityTimes(
            encode_ms=encode_ms,
            body_bytes=size,
            seconds_by_link={
                link: device + throughput_seconds(size + OVERHEAD_BYTES, bits / 8, round_trip)
                for link, (bits, round_trip) in LINKS.items()
                if size is not None
            },
        )
    accuracy = {name: scores[name].accuracy.value for name in qualities if name in scores}
    return Bench(
        head=settings.head,
        load_ms=load_ms,
        head_ms=heads[outputs[manifest.default_quality]],
        qualities=qualities,
        deadline_ms=deadline_ms,
        best_by_link={
            link: max(
                (
                    name
                    for name in accuracy
                    if qualities[name].seconds_by_link.get(link, np.inf) <= deadline_ms / 1e3
                ),
                key=lambda name: (accuracy[name], -(qualities[name].body_bytes or 0)),
                default=None,
            )
            for link in LINKS
        },
    )


def _noise() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (_SIZE[1], _SIZE[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def _median(run: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started))
    return round(statistics.median(times), 3)
