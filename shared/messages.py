"""What the cloud answers: its JSON bodies."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from splitwire.shared.bundle import ID, MAX_FILES, FilePath, Manifest, Sha256, Word

OCTETS = "application/octet-stream"
"""Content-Type of a frame, and of a bundle's file."""
DEADLINE_HEADER = "Deadline-Ms"
"""Milliseconds after which the caller stops waiting."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


class Guess(_Message):
    """One class and its probability, 0 to 1."""

    label: str
    class_id: int
    probability: float


class Prediction(Guess):
    """The answer for one picture: its likeliest class, and the k likeliest in order."""

    top: tuple[Guess, ...]


class Likely(NamedTuple):
    """A class by its number, and its probability, 0 to 1."""

    class_id: int
    probability: float


class Timings(_Message):
    """What a request spent where, in milliseconds."""

    decode: float = Field(description="frame to latents")
    queue: float = Field(description="waiting for the model")
    tail: float = Field(description="the forward pass of the batch that it was in")


class Answer(_Message):
    """The answer for a frame: a prediction for every picture, in the frame's order."""

    predictions: tuple[Prediction, ...]
    bundle: Word
    quality: Word
    device: Word
    timings_ms: Timings


class ErrorAnswer(_Message):
    """Every answer other than 200: the name of the error, and what to do about it."""

    error: str = Field(pattern="^[A-Za-z]{1,64}$")
    message: str
    fingerprint: str | None = Field(default=None, description="the frame's, where no bundle has it")
    loaded: dict[str, str] | None = Field(default=None, description="fingerprint to bundle and quality")


class Health(_Message):
    """Whether the process lives, and whether it can answer."""

    status: str


class LoadedBundle(_Message):
    """A bundle that the cloud has loaded."""

    manifest: Manifest
    fingerprints: dict[str, str] = Field(description="quality to fingerprint, as in errors: hexadecimal")


class Model(_Message):
    """What the cloud computes with."""

    device: Word
    precision: Word = Field(description="of the tails: float32, or float16 on CUDA")
    bundles: tuple[LoadedBundle, ...] = Field(description="in order; the first serves what several can")


class BundleFile(_Message):
    """A file that a device can fetch at ``/bundles/{id}/{path}``."""

    path: FilePath
    bytes: int = Field(ge=0)
    sha256: Sha256


class BundleFiles(_Message):
    """The device's part of a bundle: its manifest and the files that the device's role needs."""

    id: Annotated[str, Field(pattern=ID.pattern)]
    files: tuple[BundleFile, ...] = Field(max_length=MAX_FILES)

    @model_validator(mode="after")
    def _apart(self) -> BundleFiles:
        places = [PurePosixPath(file.path.lower()) for file in self.files]
        folders = {folder for place in places for folder in place.parents}
        if len(set(places)) != len(places) or folders & set(places):
            raise ValueError("two files have one place")
        return self


class BundleList(_Message):
    """The bundles that a device can fetch."""

    bundles: tuple[BundleFiles, ...] = Field(max_length=64)
