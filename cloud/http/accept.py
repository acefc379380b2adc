"""What kind of answer a caller would like: the Accept header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from functools import lru_cache

from splitwire.shared.answer import CONTENT_TYPE

_JSON = "application/json"


@lru_cache(maxsize=64)  # callers of one kind send the same
def wants_compact(accept: bytes) -> bool:
    """Tell whether the caller names the compact answer and likes JSON no better.

    Ranges such as ``*/*`` stand for JSON, which is also the answer to whoever accepts neither.
    """
    weights = dict(filter(None, map(_weight, accept.decode("latin-1").lower().split(","))))
    compact = weights.get(CONTENT_TYPE, 0.0)
    json = next((weights[kind] for kind in (_JSON, "application/*", "*/*") if kind in weights), 0.0)
    return compact > 0 and compact >= json


def _weight(item: str) -> tuple[str, float] | None:
    """Read one media range and its weight, 0 to 1; None where that is no weight."""
    kind, *parameters = (part.strip() for part in item.split(";"))
    text = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        weight = float(text)
    except ValueError:
        return None
    return (kind, weight) if 0 <= weight <= 1 else None
