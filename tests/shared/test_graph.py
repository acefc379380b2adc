"""A device's graph: ncnn is given only what was read, understood and found to fit."""

from __future__ import annotations

import numpy as np
import pytest

from splitwire.shared.errors import GraphInvalid
from splitwire.shared.graph.reading import read_graph
from splitwire.shared.graph.running import Runner
from tests.graphs import TEXT, WEIGHTS, changed


def test_a_graph_is_read_with_its_shapes_weights_and_costs() -> None:
    graph = read_graph(TEXT.encode(), WEIGHTS)
    assert graph.outputs == {"cae": (2, 3, 3), "classes": (5,)}
    assert graph.shapes["feature"] == (4, 3, 3)
    assert graph.parameters == 4 * 3 * 9 + 4 + 2 * 4 + 2 + 5 * 4 + 5
    assert graph.needed(["feature"]).multiplications == 4 * 3 * 9 * 9
    assert graph.text() == TEXT
    names = [f"{layer.name}.{array.kind}" for layer in graph.layers for array in layer.arrays]
    assert names == [
        f"{layer}.{kind}" for layer in ("stem", "cae.0", "classes.1") for kind in ("weight", "bias")
    ]


def test_what_was_written_is_what_was_read() -> None:
    graph = read_graph(TEXT.encode(), WEIGHTS)
    assert b"".join(array.to_bytes() for layer in graph.layers for array in layer.arrays) == WEIGHTS


def test_outputs_are_computed_when_they_are_asked_for() -> None:
    outputs = Runner(read_graph(TEXT.encode(), WEIGHTS))(np.ones((3, 6, 6), np.float32))
    assert not outputs
    assert outputs["classes"].shape == (5,)
    assert list(outputs) == ["classes"]
    assert outputs["cae"].shape == (2, 3, 3)
    assert outputs["cae"] is outputs["cae"]
    with pytest.raises(KeyError):
        outputs["another"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("7767517", "7767518", "no text of ncnn"),
        ("6 7", "6 8", "no text of ncnn"),
        ("Pooling pool", "Interp pool", "not allowed"),
        ("Pooling pool", "pnnx.Expression pool", "not allowed"),
        ("0=6 1=6 2=3", "0=6 1=6 2=4", "weights don't fit"),
        ("0=6 1=6 2=3", "0=6000 1=6000 2=3", "would give"),
        ("0=6 1=6 2=3", "0=-6 1=6 2=3", "out of bounds"),
        ("0=6 1=6 2=3", "0=6. 1=6 2=3", "no whole number"),
        ("0=6 1=6 2=3", "0=6 2=3", "absent"),
        ("0=4 1=3 ", "0=5 1=3 ", "weights don't fit"),
        (" 3=2", " 3=0", "out of bounds"),
        (" 4=1", " 4=999", "out of bounds"),
        (" 4=1", " 4=1 8=1", "parameter 8 is unknown"),
        (" 4=1", " 4=1 4=1", "no layer"),
        (" 4=1", " 4=1 99=1", "parameter 99 is unknown"),
        (" 9=1", " 9=3", "has not 2 numbers"),
        (" 9=1", " 9=3 -23310=2,0.0,nan", "no list of numbers"),
        (" 9=1", " 9=3 -23310=9,0.0,1.0", "no layer"),
        (" 9=1", " 9=3 -23310=2,0.0000000000000001,1.0", "no list of numbers"),
        ("1 1 picture feature", "1 1 another feature", "which nothing before it gives"),
        ("1 1 toclasses pooled", "1 1 tocodes pooled", "taken in twice"),
        ("1 1 toclasses pooled", "1 1 later pooled", "which nothing before it gives"),
        ("pool 1 1 toclasses pooled", "pool 1 1 toclasses classes", "given|given or taken|two things"),
        ("cae.0 1", "stem 1", "one name"),
        ("cae.0 1", "c\x1bae 1", "no layer"),
        ("2 feature tocodes toclasses", "2 feature tocodes", "no text of ncnn|no layer"),
    ],
    ids=range(26),
)
def test_a_text_that_is_not_understood_is_refused_in_one_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(GraphInvalid, match=said) as caught:
        read_graph(TEXT.replace(old, new, 1).encode(), WEIGHTS)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("weights", [b"", WEIGHTS[:-4], WEIGHTS + bytes(4), b"\x00\xff" + WEIGHTS[2:]])
def test_weights_that_are_not_the_graphs_are_refused(weights: bytes) -> None:
    with pytest.raises(GraphInvalid, match="weights"):
        read_graph(TEXT.encode(), weights)


@pytest.mark.parametrize(
    "text", [b"", b"\n\n", b"7767517\n0 0\n", b"\xff" * 100, TEXT.encode() + b" " * (1 << 20)]
)
def test_what_is_no_text_of_ncnn_is_refused(text: bytes) -> None:
    with pytest.raises(GraphInvalid):
        read_graph(text, WEIGHTS)


def test_a_graph_computes_as_its_weights_say() -> None:
    text, weights = changed(0.0)
    outputs = Runner(read_graph(text.encode(), weights))(np.ones((3, 6, 6), np.float32))
    assert not outputs["cae"].any()
