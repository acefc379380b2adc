"""A device's network as ncnn reads it: a text with a layer a line, and a file of weights.

ncnn trusts both. So a text is read here first: only layers that are listed in ``layers.py``, with the parameters that
they have, whose shapes fit each other and the weights. ncnn then gets what ``Graph.text`` writes, never the file.

    Convolution   features.0   1 1   picture 1      0=64 1=3 ...
    kind          name         inputs, outputs      parameters
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from splitwire.shared.errors import GraphInvalid, shown
from splitwire.shared.graph.layers import MAX_INPUTS, Expected, Parameter, Shape, build

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE = "picture"
"""The only input."""
FEATURE = "feature"
"""The output of the network before the cut."""
CLASSES = "classes"
"""The output that has the logits of the device's own classifier."""
MAX_TEXT_BYTES = 1 << 20
_MAX_LAYERS, _MAX_OUTPUTS = 1 << 12, 64
_MAX_MULTIPLICATIONS, _MAX_ELEMENTS = 1 << 40, 1 << 29
"""Of a picture, the latter of all that layers give; VGG16 has 2^34 and 2^24."""
_MAGIC = "7767517"
_ARRAY = -23300
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,249}")
_HALF, _SINGLE = b"\x47\x6b\x30\x01", bytes(4)
"""What stands before an array that may be in half precision."""


class Array(NamedTuple):
    """One of a layer's weights: ``kind`` as torch calls it, ``values`` as they lie in the file.

    ``tagged``: what precision it has stands before it, so that it may be float16; others are float32.
    """

    kind: str
    values: NDArray[np.floating]
    tagged: bool

    def to_bytes(self) -> bytes:
        """Write it as it lies in the file."""
        tag = (_HALF if self.values.dtype == np.float16 else _SINGLE) if self.tagged else b""
        data = self.values.tobytes()
        return tag + data + bytes(-len(data) % 4)


@dataclass(frozen=True)
class Layer:
    """A line of the text, and what is known of it once the whole was read."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    arrays: tuple[Array, ...] = ()
    multiplications: int = 0


@dataclass(frozen=True)
class Graph:
    """Layers in order, each after those that it needs. ``shapes``: of what passes between them, by name."""

    layers: tuple[Layer, ...]
    shapes: Mapping[str, Shape]

    @property
    def outputs(self) -> dict[str, Shape]:
        """What no layer takes in, with its shape."""
        taken = {name for layer in self.layers for name in layer.inputs}
        return {name: shape for name, shape in self.shapes.items() if name not in taken}

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """The input's: channels, rows, columns."""
        channels, rows, columns = self.shapes[PICTURE]
        return channels, rows, columns

    @property
    def parameters(self) -> int:
        """Count the weights."""
        return sum(array.values.size for layer in self.layers for array in layer.arrays)

    @property
    def multiplications(self) -> int:
        """Count those of convolutions and linear layers for a picture."""
        return sum(layer.multiplications for layer in self.layers)

    def needed(self, outputs: Iterable[str]) -> Graph:
        """Leave out the layers that some outputs don't need."""
        wanted, layers = set(outputs), list[Layer]()
        for layer in reversed(self.layers):
            if wanted.intersection(layer.outputs):
                wanted.update(layer.inputs)
                layers.append(layer)
        return Graph(tuple(reversed(layers)), self.shapes)

    def text(self) -> str:
        """Write it for ncnn."""
        blobs = sum(len(layer.outputs) for layer in self.layers)
        lines = [_MAGIC, f"{len(self.layers)} {blobs}", *map(_line, self.layers)]
        return "\n".join([*lines, ""])


def _line(layer: Layer) -> str:
    parameters = (
        f"{number}={value}"
        if isinstance(value, str)
        else f"{_ARRAY - int(number)}={','.join((str(len(value)), *value))}"
        for number, value in layer.parameters.items()
    )
    counts = map(str, (len(layer.inputs), len(layer.outputs)))
    return " ".join((layer.kind, layer.name, *counts, *layer.inputs, *layer.outputs, *parameters))


def read_graph(text: bytes, weights: bytes) -> Graph:
    """Read a graph, and see that ncnn can safely do so.

    Args:
        text: of the graph.
        weights: ncnn's file of them; the arrays of the result lie in it.

    Raises:
        GraphInvalid: a layer is not allowed, or does not fit the others or the weights.

    """
    layers, shapes, left = list[Layer](), dict[str, Shape](), memoryview(weights)
    for layer in read_layers(text):
        try:
            inputs = [shapes[name] for name in layer.inputs]
            built = build(layer.kind, layer.parameters, inputs, len(layer.outputs))
            arrays = []
            for expected in built.arrays:
                array, left = _take(expected, left)
                arrays.append(array)
            shapes |= zip(layer.outputs, built.shapes, strict=True)
        except KeyError as exc:
            raise GraphInvalid(
                f"layer {layer.name} takes in {exc.args[0]}, which nothing before it gives"
            ) from None
        except ValueError as exc:
            raise GraphInvalid(f"layer {layer.name}: {exc}") from None
        layers.append(replace(layer, arrays=tuple(arrays), multiplications=built.multiplications))
    graph = Graph(tuple(layers), shapes)
    if len({layer.name for layer in layers}) != len(layers):
        raise GraphInvalid("two layers have one name")
    if [layer.outputs for layer in layers if layer.kind == "Input"] != [(PICTURE,)]:
        raise GraphInvalid(f"its only input is not {PICTURE}")
    if left:
        raise GraphInvalid(f"{len(left)} bytes of its weights are left over")
    elements = sum(map(math.prod, shapes.values()))
    if graph.multiplications > _MAX_MULTIPLICATIONS or elements > _MAX_ELEMENTS:
        raise GraphInvalid("it computes too much")
    return graph


def read_layers(text: bytes) -> list[Layer]:
    """Read the lines of a text, whatever kinds of layers they are of.

    Raises:
        GraphInvalid: it is no text of ncnn, or something is given or taken in twice.

    """
    lines = text.decode(errors="replace").split("\n") if len(text) <= MAX_TEXT_BYTES else []
    layers = [_layer(line) for line in lines[2:] if line]
    given = [name for layer in layers for name in layer.outputs]
    taken = [name for layer in layers for name in layer.inputs]
    if not 0 < len(layers) <= _MAX_LAYERS or lines[:2] != [_MAGIC, f"{len(layers)} {len(given)}"]:
        raise GraphInvalid("it is no text of ncnn, or is cut short")
    if len(set(given)) != len(given) or len(set(taken)) != len(taken):
        raise GraphInvalid("a name stands for two things, or one thing is taken in twice")
    return layers


def _layer(line: str) -> Layer:
    words = line.split()
    try:
        before, after = int(words[2]), int(words[3])
        names, parameters = (
            words[4 : 4 + before + after],
            [_parameter(word) for word in words[4 + before + after :]],
        )
        fits = 0 <= before <= MAX_INPUTS and 0 < after <= _MAX_OUTPUTS and len(names) == before + after
        fits = (
            fits
            and all(map(_NAME.fullmatch, (words[1], *names)))
            and len(dict(parameters)) == len(parameters)
        )
    except (ValueError, IndexError):
        fits = False
    if not fits:
        raise GraphInvalid(f"a line is no layer: {shown(line, 80)}")
    return Layer(words[0], words[1], tuple(names[:before]), tuple(names[before:]), dict(parameters))


def _parameter(word: str) -> tuple[str, Parameter]:
    """Read ``number=value`` or, of an array, ``-23300 - number=count,value,value``."""
    number, _, value = word.partition("=")
    if int(number) > _ARRAY:
        return str(int(number)), value
    count, *values = value.split(",")
    if int(count) != len(values):
        raise ValueError(word)
    return str(_ARRAY - int(number)), tuple(values)


def _take(expected: Expected, left: memoryview) -> tuple[Array, memoryview]:
    """Take an array from the start of what is left of the weights."""
    tag, left = (bytes(left[:4]), left[4:]) if expected.tagged else (_SINGLE, left)
    dtype = np.dtype("<f2" if tag == _HALF else "<f4")
    size = math.prod(expected.shape) * dtype.itemsize
    if tag not in {_HALF, _SINGLE} or not 0 < size <= len(left):
        raise ValueError("its weights are absent, or no floats")
    values = np.frombuffer(left[:size], dtype).reshape(expected.shape)
    return Array(expected.kind, values, expected.tagged), left[-(-size // 4) * 4 :]
