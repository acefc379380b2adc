"""What is known of each picture on its way, and what is said of it: one JSON line, with stable fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from splitwire.shared.errors import SplitwireError, codes_of
from splitwire.shared.messages import Guess, Prediction


class Encoded(BaseModel):
    """One picture's code, and what the device knows of the picture beside it.

    ``reason``: why it has this quality, where it was chosen. ``own``: the device's own answer, where the bundle has a classifier for that.
    ``timings_ms``: load, head, encode.
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    payload: bytes
    quality: str
    reason: str | None = None
    own: Prediction | None
    timings_ms: dict[str, float]


class Problem(BaseModel):
    """Why a picture has no answer."""

    model_config = ConfigDict(frozen=True)

    error: str
    message: str
    exit_code: int


class Record(BaseModel):
    """One picture's answer, or its problem. What is not known is null or empty.

    ``payload_bytes``: the codec's bytes. ``body_bytes``, ``wire_bytes``: the request body, and what
    the socket sent and received for it, headers included, each divided by the frame's pictures.
    ``source``: cloud, embedded, or device where its own small classifier answered; ``reason``: why it
    did, or why ``auto`` chose the quality. ``timings_ms``: load, head, encode, network (waiting to be sent with others, and the round
    trip, the cloud's own times included), of which decode, queue and tail; total.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    label: str | None = None
    class_id: int | None = None
    probability: float | None = None
    top: tuple[Guess, ...] = ()
    quality: str | None = None
    payload_bytes: int | None = None
    body_bytes: float | None = None
    wire_bytes: float | None = None
    source: str | None = None
    reason: str | None = None
    timings_ms: dict[str, float] = {}
    bundle: str | None = None
    error: Problem | None = None


def problem(error: SplitwireError) -> Problem:
    """Describe why a picture has no answer."""
    return Problem(error=type(error).__name__, message=str(error), exit_code=codes_of(error).exit)
