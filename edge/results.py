"""What becomes of each picture: an answer, or why there is none. Each is one JSON line, with stable fields."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from splitwire.shared.errors import SplitwireError, codes_of
from splitwire.shared.messages import Guess, Prediction


class Encoded(BaseModel):
    """One picture's code, ready to be sent.

    ``reason``: why it has this quality, where that was chosen. ``own``: the device's own answer, where the bundle has
    a fallback. ``timings_ms``: load, head, encode.
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    payload: bytes
    quality: str
    reason: str | None = None
    own: Prediction | None
    timings_ms: dict[str, float]


class Answered(BaseModel):
    """One picture's answer.

    ``payload_bytes``: the codec's bytes. ``body_bytes``, ``wire_bytes``: the request body, and what
    the socket sent and received for it, headers included, each divided by the frame's pictures; None: unknown.
    ``source``: who answered; device is the fallback. ``reason``: why the fallback did, or why ``auto`` chose the
    quality. ``timings_ms``: load, head, encode, network (waiting to be sent with others, and the round
    trip, the cloud's own times included), of which decode, queue and tail; total.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    label: str
    class_id: int
    probability: float
    top: tuple[Guess, ...] = ()
    quality: str | None = None
    payload_bytes: int | None = None
    body_bytes: float | None = None
    wire_bytes: float | None = None
    source: Literal["cloud", "embedded", "device"]
    reason: str | None = None
    timings_ms: dict[str, float] = {}
    bundle: str | None = None


class Failed(BaseModel):
    """Why a picture has no answer: the error's name, what it says, and the exit code of a command for that.

    The other fields are as in ``Answered``, as far as the picture came; ``source``: who was asked.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    error: str
    message: str
    exit_code: int
    quality: str | None = None
    payload_bytes: int | None = None
    source: str | None = None
    reason: str | None = None
    timings_ms: dict[str, float] = {}


Result = Answered | Failed

_LINE = (
    "path", "label", "class_id", "probability", "top", "quality", "payload_bytes", "body_bytes", "wire_bytes",
    "source", "reason", "timings_ms", "bundle", "error",
)  # fmt: skip
_PROBLEM = ("error", "message", "exit_code")


def failed(path: str, error: SplitwireError, encoded: Encoded | None = None, **known: object) -> Failed:
    """Say that a picture has no answer; ``known``: other fields."""
    if encoded is not None:
        code = {"payload_bytes": len(encoded.payload), **encoded.model_dump(exclude={"payload", "own"})}
        known = {**code, **known}
    name, codes = type(error).__name__, codes_of(error)
    return Failed.model_validate(
        {"path": path, "error": name, "message": str(error), "exit_code": codes.exit, **known}
    )


def to_line(result: Result) -> str:
    """Write a result as one line of JSON; what is not known is null or empty."""
    values = {"top": [], **result.model_dump(mode="json")}
    if isinstance(result, Failed):
        values["error"] = {name: values[name] for name in _PROBLEM}
    return json.dumps({name: values.get(name) for name in _LINE}, ensure_ascii=False, separators=(",", ":"))


def from_line(line: str) -> Result:
    """Read what ``to_line`` wrote."""
    values = json.loads(line)
    if values["error"]:
        return Failed.model_validate(values | values["error"])
    return Answered.model_validate(values)
