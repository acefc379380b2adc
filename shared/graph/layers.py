"""What each kind of layer may say, what it gives, and which weights it has: as ncnn computes, float32, one picture."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from splitwire.shared.errors import shown

Shape = tuple[int, ...]
"""Outermost first: channels, rows, columns; or fewer."""
Parameter = str | tuple[str, ...]
"""As it is written; of an array, its values."""
WITHOUT_WINOGRAD = "31", str(1 << 6)
"""A parameter of every layer (ncnn's docs/developer-guide/layer-feat-mask)."""
MAX_INPUTS = 16
_MAX_ELEMENTS = 1 << 26
"""Of what a layer gives."""
_MAX_TOKEN = 15
"""ncnn cuts off what is longer."""
_INT = re.compile(r"-?\d{1,9}")
_FLOAT = re.compile(r"-?\d{1,9}\.\d{0,12}(e[+-]?\d{1,2})?")
_SIZES = re.compile(r'"(-1|\d{1,6}|[01][whc])(,(-1|\d{1,6}|[01][whc])){0,2}"')


class Expected(NamedTuple):
    """An array in the file of weights; ``tagged``: its first four bytes say in which precision it is."""

    kind: str
    shape: Shape
    tagged: bool


class Built(NamedTuple):
    """What a layer gives, needs and costs."""

    shapes: Sequence[Shape]
    arrays: Sequence[Expected] = ()
    multiplications: int = 0


class Parameters:
    """A layer's parameters, of which every one has to be asked for."""

    def __init__(self, written: Mapping[str, Parameter]) -> None:
        self._left = dict(written)

    def whole(self, number: int, default: int | None = None, *, least: int = 0, most: int = 1 << 20) -> int:
        """Read a whole number, within bounds; without a default it has to be there."""
        value = self._left.pop(str(number), default)
        if value is None:
            raise ValueError(f"parameter {number} is absent")
        if isinstance(value, str):
            if not _INT.fullmatch(value):
                raise ValueError(f"parameter {number} is no whole number")
            value = int(value)
        if not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"parameter {number} is out of bounds")
        return value

    def number(self, number: int) -> None:
        """See that a number, where there is one, is finite and written so that ncnn takes it for one."""
        value = self._left.pop(str(number), "0.0")
        if not isinstance(value, str) or len(value) > _MAX_TOKEN or not _FLOAT.fullmatch(value):
            raise ValueError(f"parameter {number} is no number")

    def numbers(self, number: int, count: int) -> None:
        """See that there are so many numbers."""
        values = self._left.pop(str(number), ())
        if isinstance(values, str) or len(values) != count:
            raise ValueError(f"parameter {number} has not {count} numbers")
        if not all(len(value) <= _MAX_TOKEN and _FLOAT.fullmatch(value) for value in values):
            raise ValueError(f"parameter {number} is no list of numbers")

    def wholes(self, number: int) -> list[int]:
        """Read a list of one to three whole numbers."""
        values = self._left.pop(str(number), ())
        if isinstance(values, str) or not 0 < len(values) <= 3 or not all(map(_INT.fullmatch, values)):
            raise ValueError(f"parameter {number} is no list of whole numbers")
        return [int(value) for value in values]

    def sizes(self, number: int) -> list[str]:
        """Read a list of sizes, as texts; empty where there is none."""
        value = self._left.pop(str(number), "")
        if not isinstance(value, str) or (value and not _SIZES.fullmatch(value)):
            raise ValueError(f"parameter {number} is no list of sizes")
        return value.strip('"').split(",") if value else []

    def end(self) -> None:
        """Refuse what was not asked for."""
        if self._left:
            raise ValueError(f"parameter {next(iter(self._left))} is unknown")


def build(kind: str, parameters: Mapping[str, Parameter], inputs: Sequence[Shape], outputs: int) -> Built:
    """Read a layer's parameters, given the shapes that it takes in and how many it gives.

    Raises:
        ValueError: it is not one that ncnn can safely compute.

    """
    if kind not in KINDS:
        raise ValueError(f"its kind {shown(kind, 40)} is not allowed")
    counts, rule = KINDS[kind]
    if len(inputs) not in counts:
        raise ValueError(f"it takes in {len(inputs)}")
    given = Parameters(parameters)
    given.whole(31, 0, most=int(WITHOUT_WINOGRAD[1]))
    built = rule(given, *inputs)
    given.end()
    if kind == "Split":
        built = Built([*built.shapes] * outputs)
    for shape in built.shapes:
        if not 1 <= len(shape) <= 3 or min(shape) < 1 or math.prod(shape) > _MAX_ELEMENTS:
            raise ValueError(f"it would give {shape}")
    return built


def _input(given: Parameters) -> Built:
    columns, rows, channels = (given.whole(number, least=1, most=1 << 14) for number in (0, 1, 2))
    return Built([(channels, rows, columns)])


def _unchanged(given: Parameters, numbers: Shape) -> Built:
    for number in (0, 1):
        given.number(number)
    return Built([numbers])


def _gelu(given: Parameters, numbers: Shape) -> Built:
    given.whole(0, 0, most=1)
    return Built([numbers])


def _activation(given: Parameters) -> None:
    """Read what a layer's own activation is: ncnn reads as many numbers as its kind has."""
    kind = given.whole(9, 0, most=6)
    given.numbers(10, {2: 1, 3: 2, 6: 2}.get(kind, 0))


def _sides(
    given: Parameters, maps: Shape, numbers: Sequence[int], *, ceil: bool = False
) -> tuple[Shape, Shape]:
    """Read a window's sizes: kernel, dilation (0: none), stride, and pads before and after it.

    Args:
        given: the layer's parameters.
        maps: what the window slides over.
        numbers: of these, for columns; rows have 10 more, but for the pads.
        ceil: whether a last window may stand over.

    Returns:
        Rows and columns of the kernel, and of what it gives.

    """
    kernels, sides = list[int](), list[int]()
    kernel, dilation, stride, *pads = numbers
    widths = {
        number: given.whole(number, 1, least=1, most=256) for number in (kernel, dilation, stride) if number
    }
    left = given.whole(pads[0], 0, most=256)
    right, top = given.whole(pads[1], left, most=256), given.whole(pads[2], left, most=256)
    bottom = given.whole(pads[3], top, most=256)
    for side, pad, ten in ((maps[-2], top + bottom, 10), (maps[-1], left + right, 0)):
        width, spread, step = (
            given.whole(number + 10, widths[number], least=1, most=256)
            if number and ten
            else widths.get(number, 1)
            for number in (kernel, dilation, stride)
        )
        room = side + pad - spread * (width - 1) - 1
        if room < 0 or pad >= 2 * max(spread * width, 2):
            raise ValueError("its window does not fit what it takes in")
        kernels.append(width)
        sides.append((room + (step - 1 if ceil else 0)) // step + 1)
    return tuple(kernels), tuple(sides)


def _convolution(given: Parameters, maps: Shape, groups: int = 1) -> Built:
    channels, _, _ = maps
    count = given.whole(0, least=1)
    kernel, sides = _sides(given, maps, (1, 2, 3, 4, 15, 14, 16))
    shape = (count, channels // groups, *kernel)
    if given.whole(6, most=1 << 28) != math.prod(shape) or channels % groups or count % groups:
        raise ValueError("its weights don't fit what it takes in")
    arrays = _weight_and_bias(shape, bias=given.whole(5, 0, most=1) == 1)
    _activation(given)
    return Built([(count, *sides)], arrays, math.prod(shape) * math.prod(sides))


def _depthwise(given: Parameters, maps: Shape) -> Built:
    return _convolution(given, maps, given.whole(7, 1, least=1))


def _linear(given: Parameters, numbers: Shape) -> Built:
    *rows, inputs = numbers
    count = given.whole(0, least=1)
    if len(rows) > 1 or given.whole(2, most=1 << 28) != count * inputs:
        raise ValueError("its weights don't fit what it takes in")
    arrays = _weight_and_bias((count, inputs), bias=given.whole(1, 0, most=1) == 1)
    _activation(given)
    return Built([(*rows, count)], arrays, math.prod(rows) * count * inputs)


def _gemm(given: Parameters, numbers: Shape) -> Built:
    """Read linear layers at many positions: the second factor and what is added are weights."""
    rows, inputs = numbers
    flags = [given.whole(number, 0, most=1) for number in (2, 3, 4, 5, 6)]
    count, bias = given.whole(8, least=1), given.whole(10, -1, least=-1, most=4)
    given.whole(7, rows, least=rows, most=rows)
    if flags != [0, 1, 0, 1, 1] or given.whole(9) != inputs or bias not in {-1, 4}:
        raise ValueError("it is not a linear layer of what it takes in")
    weight, *rest = _weight_and_bias((count, inputs), bias=bias == 4)
    return Built(
        [(rows, count)], [weight, *(array._replace(tagged=True) for array in rest)], rows * count * inputs
    )


def _weight_and_bias(shape: Shape, *, bias: bool) -> list[Expected]:
    weight = Expected("weight", shape, tagged=True)
    return [weight, Expected("bias", shape[:1], tagged=False)] if bias else [weight]


def _norm(given: Parameters, numbers: Shape) -> Built:
    """Read a norm over the last axis."""
    given.number(1)
    size = given.whole(0, least=numbers[-1], most=numbers[-1])
    kinds = ("weight", "bias") if given.whole(2, 1, most=1) else ()
    return Built([numbers], [Expected(kind, (size,), tagged=False) for kind in kinds])


def _batch_norm(given: Parameters, numbers: Shape) -> Built:
    given.number(1)
    size = given.whole(0, least=numbers[0], most=numbers[0])
    kinds = ("weight", "running_mean", "running_var", "bias")
    return Built([numbers], [Expected(kind, (size,), tagged=False) for kind in kinds])


def _prelu(given: Parameters, numbers: Shape) -> Built:
    size = given.whole(0, least=1)
    if size not in {1, numbers[0]}:
        raise ValueError("its weights don't fit what it takes in")
    return Built([numbers], [Expected("weight", (size,), tagged=False)])


def _memory(given: Parameters) -> Built:
    sizes = [given.whole(number, 0) for number in (2, 1, 0)]
    shape = tuple(size for size in sizes if size)
    if not shape or sizes[3 - len(shape) :] != list(shape):
        raise ValueError("its sizes are none")
    return Built([shape], [Expected("", shape, tagged=False)])


def _pooling(given: Parameters, maps: Shape) -> Built:
    channels, _, _ = maps
    given.whole(0, 0, most=1)
    given.whole(6, 0, most=1)
    if given.whole(4, 0, most=1):
        return Built([(channels,)])
    if given.whole(7, 0, most=1):
        columns = given.whole(8, least=1, most=maps[2])
        return Built([(channels, given.whole(18, columns, least=1, most=maps[1]), columns)])
    ceil = given.whole(5, 0, most=1) == 0
    _, sides = _sides(given, maps, (1, 0, 2, 3, 14, 13, 15), ceil=ceil)
    return Built([(channels, *sides)])


def _reduction(given: Parameters, numbers: Shape) -> Built:
    given.whole(0, 0, most=3)
    given.whole(1, least=0, most=0)
    given.whole(5, least=1, most=1)
    dims = len(numbers)
    axes = {axis % dims for axis in given.wholes(3) if -dims <= axis < dims or _refuse("its axes are none")}
    if given.whole(4, 0, most=1):
        return Built([tuple(1 if axis in axes else size for axis, size in enumerate(numbers))])
    return Built([tuple(size for axis, size in enumerate(numbers) if axis not in axes) or (1,)])


def _binary(given: Parameters, one: Shape, other: Shape | None = None) -> Built:
    given.whole(0, 0, most=5)
    scalar = given.whole(1, 0, most=1)
    given.number(2)
    if bool(scalar) == (other is not None):
        raise ValueError("it has not two numbers to compute with")
    if other is None:
        return Built([one])
    dims = max(len(one), len(other))
    one, other = _as_wide(one, other, dims), _as_wide(other, one, dims)
    if any(a != b and 1 not in {a, b} for a, b in zip(one, other, strict=True)):
        raise ValueError(f"it takes in {one} and {other}")
    return Built([tuple(map(max, one, other))])


def _as_wide(shape: Shape, other: Shape, dims: int) -> Shape:
    """Give a shape as many axes as ncnn does: one axis is the other's first where they fit, else its last."""
    missing = (1,) * (dims - len(shape))
    inner = len(shape) > 1 or shape[0] == other[0]
    return (*shape, *missing) if inner else (*missing, *shape)


def _concat(given: Parameters, *parts: Shape) -> Built:
    dims = len(parts[0])
    axis = given.whole(0, 0, least=-dims, most=dims - 1) % dims
    if len({(*part[:axis], *part[axis + 1 :], len(part)) for part in parts}) != 1:
        raise ValueError("what it takes in does not fit together")
    whole = sum(part[axis] for part in parts)
    return Built([(*parts[0][:axis], whole, *parts[0][axis + 1 :])])


def _permute(given: Parameters, numbers: Shape) -> Built:
    orders: dict[int, list[Shape]] = {
        2: [(0, 1), (1, 0)],
        3: [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)],
    }
    known = orders.get(len(numbers), [(0,)])
    order = known[given.whole(0, 0, most=len(known) - 1)]
    return Built([tuple(numbers[axis] for axis in order)])


def _reshape(given: Parameters, numbers: Shape, pattern: Shape = ()) -> Built:
    """Read new sizes, the innermost first: numbers, -1 for what is left, or sizes of what it takes in: 0w."""
    asked = given.sizes(6)
    inner = [given.whole(number, -233, least=-233) for number in (0, 1, 2)]
    if not asked:
        asked = [str(size) for size in inner if size != -233]
        known = [size for size in inner[: len(asked)] if size > 0 or size == -1]
        if len(known) != len(asked):
            raise ValueError("its sizes are none")
    sizes = [_size(text, numbers, pattern) for text in asked]
    count = math.prod(numbers)
    if sizes.count(-1) == 1:
        rest = -math.prod(sizes)
        sizes[sizes.index(-1)] = count // rest if rest > 0 and count % rest == 0 else 0
    if math.prod(sizes) != count or min(sizes) < 1:
        raise ValueError(f"{numbers} does not become {asked}")
    return Built([tuple(reversed(sizes))])


def _size(text: str, *shapes: Shape) -> int:
    if text[-1].isdigit():
        return int(text)
    shape = shapes[int(text[0])]
    return shape["chw".index(text[1]) - 3 + len(shape)] if text[1] != "h" or len(shape) > 1 else 1


def _flatten(_: Parameters, numbers: Shape) -> Built:
    return Built([(math.prod(numbers),)])


def _padding(given: Parameters, maps: Shape) -> Built:
    channels, rows, columns = maps
    top, bottom, left, right = (given.whole(number, 0, most=256) for number in range(4))
    given.whole(4, 0, most=0)
    given.number(5)
    return Built([(channels, rows + top + bottom, columns + left + right)])


def _refuse(reason: str) -> bool:
    raise ValueError(reason)


_ONE, _TWO = range(1, 2), range(1, 3)
KINDS: Mapping[str, tuple[range, Callable[..., Built]]] = {
    "Input": (range(1), _input),
    "MemoryData": (range(1), _memory),
    "BatchNorm": (_ONE, _batch_norm),
    "BinaryOp": (_TWO, _binary),
    "Concat": (range(1, MAX_INPUTS), _concat),
    "Convolution": (_ONE, _convolution),
    "ConvolutionDepthWise": (_ONE, _depthwise),
    "Flatten": (_ONE, _flatten),
    "GELU": (_ONE, _gelu),
    "Gemm": (_ONE, _gemm),
    "InnerProduct": (_ONE, _linear),
    "LayerNorm": (_ONE, _norm),
    "Padding": (_ONE, _padding),
    "Permute": (_ONE, _permute),
    "Pooling": (_ONE, _pooling),
    "PReLU": (_ONE, _prelu),
    "Reduction": (_ONE, _reduction),
    "Reshape": (_TWO, _reshape),
    "Split": (_ONE, _unchanged),
    **dict.fromkeys(
        ("Clip", "ELU", "HardSigmoid", "HardSwish", "Mish", "ReLU", "Sigmoid", "Swish", "TanH"),
        (_ONE, _unchanged),
    ),
}
"""The layers that a graph may have: how many they take in, and what becomes of its shapes."""
