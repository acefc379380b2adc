"""What the OpenAPI page says beyond the types of the routes."""

from __future__ import annotations

from typing import Any

from splitwire.shared.answer import CONTENT_TYPE as COMPACT
from splitwire.shared.messages import DEADLINE_HEADER, OCTETS, Answer, ErrorAnswer

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        400: "not a valid frame, or a parameter that is not allowed",
        401: "an API key is needed",
        403: "the API key is not accepted",
        404: "no such bundle or file",
        408: "the body did not arrive in time",
        409: "no loaded bundle has the frame's fingerprint",
        413: "the body is over the cap",
        415: "another Content-Type, or any Content-Encoding",
        416: "the file has no such part",
        429: "the queue is full; see Retry-After",
        431: "the headers are over their caps",
        503: "starting or stopping; see Retry-After",
        504: "the deadline passed before the model ran",
    }.items()
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors that a route can answer: these, and what any can."""
    return {status: _ERRORS[status] for status in sorted({*statuses, 431})}


INFER_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Answer, "content": {COMPACT: _BINARY}},
    **errors(400, 401, 403, 408, 409, 413, 415, 429, 503, 504),
}

# Read by hand, since what is wrong with them is answered with 400, never FastAPI's 422.
INFER_INPUTS: dict[str, Any] = {
    "requestBody": {"required": True, "content": {OCTETS: _BINARY}},
    "parameters": [
        {
            "name": "top",
            "in": "query",
            "description": "how many of the likeliest classes to give",
            "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 1},
        },
        {
            "name": DEADLINE_HEADER,
            "in": "header",
            "description": "milliseconds after which the caller stops waiting",
            "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
        },
    ],
}

FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the file; its ETag is its SHA-256",
        "content": {OCTETS: _BINARY},
    },
    206: {"description": "the part that the caller asked for (Range)"},
    304: {"description": "the caller has it already (If-None-Match)"},
    **errors(401, 403, 404, 416, 503),
}

FILE_INPUTS: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": {"type": "string"},
        }
        for name, description in {"bundle": "its id", "path": "as GET /bundles lists it"}.items()
    ],
}
