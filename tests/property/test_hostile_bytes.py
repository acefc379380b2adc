"""Whatever arrives, a cloud reads a frame of valid payloads or raises one of the named errors."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from splitwire.shared.errors import FrameError
from splitwire.shared.frame import pack, unpack
from tests.golden import FOLDER, LONG, committed_codecs

CODECS = {codec.id: codec for codec in committed_codecs()}
FRAMES = {name: (FOLDER / f"{name}.frame").read_bytes() for name in (*CODECS, LONG)}

chunks = st.binary(min_size=1, max_size=12)
positions = st.floats(0, 1, exclude_max=True)


def edited(frame: bytes, kind: str, position: float, chunk: bytes) -> bytes:
    at = int(position * len(frame))
    match kind:
        case "cut":
            return frame[:at]
        case "extend":
            return frame + chunk
        case "insert":
            return frame[:at] + chunk + frame[at:]
        case "remove":
            return frame[:at] + frame[at + len(chunk) :]
        case _:
            return frame[:at] + chunk + frame[at + len(chunk) :]


edits = st.tuples(
    st.sampled_from(["cut", "extend", "insert", "remove", "overwrite"]), positions | st.just(0.0), chunks
)


@settings(max_examples=max(3000, settings().max_examples), deadline=None)
@given(name=st.sampled_from(sorted(FRAMES)), changes=st.lists(edits, max_size=4), noise=st.none() | chunks)
def test_cut_extended_mutated_and_random_bytes_raise_only_the_named_errors(
    name: str, changes: list[tuple[str, float, bytes]], noise: bytes | None
) -> None:
    data = FRAMES[name] if noise is None else noise
    for change in changes:
        data = edited(data, *change)
    codec = CODECS.get(name)
    with suppress(FrameError):
        frame = unpack(data)
        assert pack(frame) == data
        for payload in frame.payloads:
            assert codec is None or codec.encode(codec.decode(payload)) == payload
