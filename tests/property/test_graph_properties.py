"""Whatever is done to a graph's text, it is refused, or ncnn computes what was read."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from splitwire.shared.errors import GraphInvalid
from splitwire.shared.graph.layers import KINDS
from splitwire.shared.graph.reading import Graph, read_graph
from splitwire.shared.graph.running import Runner
from tests.graphs import TEXT, WEIGHTS

WORDS = TEXT.split()
NEW_WORDS = st.one_of(
    st.sampled_from([*WORDS, *KINDS]),
    st.builds("{}={}".format, st.integers(-1, 33), st.integers(-2, 40)),
    st.builds("{}={}".format, st.integers(-1, 33), st.integers()),
    st.builds("{}={}".format, st.integers(-1, 33), st.floats()),
    st.builds("{}={},{}".format, st.integers(-23340, -23290), st.integers(-1, 9), st.floats(-9, 9)),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
PLACES = st.integers(0, len(WORDS) - 1)
PICTURE = np.linspace(-1, 1, 108, dtype=np.float32).reshape(3, 6, 6)


def run(graph: Graph) -> None:
    """See that ncnn gives what the graph was read to give."""
    if graph.shapes["picture"] == PICTURE.shape:
        outputs = Runner(graph)(PICTURE)
        assert {name: outputs[name].shape for name in graph.outputs} == graph.outputs


@given(
    st.lists(
        st.tuples(PLACES, st.sampled_from(["replace", "insert", "drop"]), NEW_WORDS), min_size=1, max_size=4
    )
)
def test_words_that_are_changed_are_refused_or_understood(changes: list[tuple[int, str, str]]) -> None:
    lines = [line.split(" ") for line in TEXT.split("\n")]
    places = [(row, column) for row, line in enumerate(lines) for column, word in enumerate(line) if word]
    for place, change, word in changes:
        row, column = places[place]
        lines[row][column] = {"replace": word, "insert": f"{word} {lines[row][column]}", "drop": ""}[change]
    text = "\n".join(" ".join(filter(None, line)) for line in lines)
    with suppress(GraphInvalid):
        run(read_graph(text.encode(), WEIGHTS))


@given(st.binary(max_size=200))
def test_bytes_are_refused_or_understood(text: bytes) -> None:
    with suppress(GraphInvalid):
        run(read_graph(text, WEIGHTS))


@given(st.lists(st.tuples(st.integers(0, len(TEXT) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_characters_that_are_changed_are_refused_or_understood(changes: list[tuple[int, int]]) -> None:
    text = bytearray(TEXT.encode())
    for place, value in changes:
        text[place] = value
    with suppress(GraphInvalid):
        run(read_graph(bytes(text), WEIGHTS))
