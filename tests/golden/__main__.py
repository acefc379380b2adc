"""Write the golden files anew: ``python -m tests.golden`` (a new wire format, or new weights)."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np

import splitwire.shared.answer
from splitwire.models.training.data.pictures import load_pictures
from splitwire.shared.answer import Choice, CompactAnswer
from splitwire.shared.codecs import CODECS
from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.frame import Frame, pack
from splitwire.shared.messages import Timings
from tests.e2e.accuracy import classify, sample_files
from tests.golden import FINGERPRINT, FOLDER, LONG, LONG_PAYLOADS, PICTURES, SHAPE, committed_codecs
from tests.processes import running_cloud


def write_frames() -> None:
    """One frame a codec, with two pictures, beside its tables and the symbols it decodes to."""
    rng = np.random.default_rng(0)
    latents = rng.normal(scale=8, size=(2, *SHAPE)).astype(np.float32)
    numbers = rng.normal(scale=rng.uniform(0.3, 4, 32), size=(1000, 32)).astype(np.float32)
    for name, kind in CODECS.items():
        for table, values in kind.fit(numbers if kind is Factorised else latents).items():
            np.save(FOLDER / f"{name}.{table}.npy", values)
    for number, codec in enumerate(committed_codecs()):
        pictures = latents if codec.latent_shape == SHAPE else numbers[:2]
        symbols = [codec.quantise(picture) for picture in pictures]
        payloads = tuple(codec.encode(each) for each in symbols)
        frame = Frame(fingerprint=FINGERPRINT, quality=number, payloads=payloads)
        (FOLDER / f"{codec.id}.frame").write_bytes(pack(frame))
        np.save(FOLDER / f"{codec.id}.symbols.npy", np.stack(symbols))


def write_long_frame() -> None:
    """A frame of version 2."""
    frame = Frame(fingerprint=FINGERPRINT, quality=0, payloads=LONG_PAYLOADS)
    (FOLDER / f"{LONG}.frame").write_bytes(pack(frame))


def write_answer() -> None:
    """A compact answer for two pictures, beside what it says."""
    answer = CompactAnswer(
        pictures=(
            (Choice(3, 61_234), Choice(5, 4_000), Choice(0, 301)),
            (Choice(8, 65_535), Choice(9, 0), Choice(1, 0)),
        ),
        timings_ms=Timings(decode=0.125, queue=3.5, tail=20.25),
    )
    (FOLDER / "compact.answer").write_bytes(splitwire.shared.answer.pack(answer))
    written = {"pictures": answer.pictures, "timings_ms": answer.timings_ms.model_dump()}
    (FOLDER / "compact.json").write_text(json.dumps(written) + "\n")


def write_predictions(data: Path) -> None:
    """The shipped bundle's answers for fixed test pictures, by the real command."""
    pictures = load_pictures(data, "test")
    answers: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder, running_cloud() as cloud:
        files = sample_files(pictures, PICTURES, Path(folder))
        for quality in ("paper", "int8"):
            records = classify(files, cloud, quality)
            answers[quality] = {Path(record["path"]).name: record["class_id"] for record in records}
    (FOLDER / "predictions.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    write_frames()
    write_long_frame()
    write_answer()
    write_predictions(Path(os.environ["SPLITWIRE_DATA"]))
