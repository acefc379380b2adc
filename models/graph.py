"""A network's part on the device as a graph of ncnn, and back.

torch ──trace──> TorchScript ──pnnx──> text and weights ──names──> graph ──weights──> torch
"""

from __future__ import annotations

import copy
import math
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from splitwire.models.errors import TrainingError
from splitwire.shared.errors import GraphInvalid, PackagesMissing
from splitwire.shared.graph.layers import KINDS, WITHOUT_WINOGRAD, Parameter
from splitwire.shared.graph.reading import FEATURE, PICTURE, Array, Graph, Layer, read_graph, read_layers

_LARGE = 512 * 256 * 9
"""Weights of a 3x3 convolution which Winograd's algorithm keeps transformed, four times as many: too many where
memory is scarce. Of VGG16 it is the last two blocks', nine tenths of all."""
_PICTURES = 3
_LARGEST_ERROR = 1e-3
"""Of ncnn's output, as a share of the root mean square of torch's from the same float16 weights."""


_BATCH_AXES, _A_PICTURES = ("12", "13"), re.compile(r"//\((\d+),0n\)")
"""Of a reshaping."""


class Head(nn.Module):
    """A network up to its cut, and what sees its output: [N, 3, rows, columns] -> a tensor for each of ``outputs``."""

    def __init__(self, front: nn.Module, outputs: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.front = front
        self.outputs = nn.ModuleDict(outputs)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature, then all outputs."""
        feature = self.front(pictures)
        return (feature, *(output(feature) for output in self.outputs.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """Name what ``forward`` gives."""
        return (FEATURE, *self.outputs)

    @staticmethod
    def short(name: str) -> str:
        """Take away what this class adds to the name of a weight: the front's are the network's own."""
        return name.removeprefix("front.").removeprefix("outputs.")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A graph's text, one that needs less memory where there is any, and the weights of both.

    ``parameters``, ``multiplications``: of the network before its cut, for a picture.
    """

    text: str
    low_memory: str | None
    weights: bytes
    parameters: int
    multiplications: int


def export_graph(front: nn.Module, outputs: Mapping[str, nn.Module], shape: tuple[int, int, int]) -> Exported:
    """Write the device's part of a network as a graph of ncnn with float16 weights, and see that it computes the same.

    Args:
        front: pictures [N, *shape] to features.
        outputs: features to what an encoder or a classifier makes of them, by name.
        shape: of a picture.

    Raises:
        TrainingError: ncnn can't run a layer, or computes something else.
        PackagesMissing: pnnx is not installed.

    """
    from splitwire.shared.graph.running import Runner  # noqa: PLC0415 - a cloud reads weights without ncnn

    head = copy.deepcopy(Head(front, outputs)).cpu().float().eval().requires_grad_(requires_grad=False)
    pictures = torch.randn(_PICTURES, *shape, generator=torch.Generator().manual_seed(0))
    text, weights = _convert(head, pictures[:1])
    layers = read_layers(text)
    for layer in layers:
        if layer.kind not in KINDS:
            raise TrainingError(f"ncnn can't run {layer.kind} ({layer.name}); cut the network before it")
    try:
        graph = read_graph(_renamed(layers, head.names, shape).text().encode(), weights)
        graph = _named(graph, folded(head, pictures[:1]))
        weights = b"".join(_half(array).to_bytes() for layer in graph.layers for array in layer.arrays)
        graph = read_graph(graph.text().encode(), weights)
        run = Runner(graph)
    except GraphInvalid as exc:
        raise TrainingError(f"what pnnx made of the network can't be used: {exc}") from exc
    restore(head, read_weights(graph), shape)
    for picture in pictures:
        computed = run(picture.numpy())
        with torch.inference_mode():
            for name, expected in zip(head.names, head(picture[None]), strict=True):
                _compare(name, torch.from_numpy(computed[name]), expected[0])
    frugal = Graph(tuple(map(_without_winograd, graph.layers)), graph.shapes)
    low_memory = frugal.text() if frugal != graph else None
    front_alone = graph.needed([FEATURE])
    return Exported(
        text=graph.text(),
        low_memory=low_memory,
        weights=weights,
        parameters=front_alone.parameters,
        multiplications=front_alone.multiplications,
    )


def _convert(head: Head, picture: Tensor) -> tuple[bytes, bytes]:
    try:
        import pnnx  # noqa: PLC0415 - only exports need it
    except ImportError as exc:
        raise PackagesMissing(
            "pnnx", "an export", "install it, in a clone with: pip install '.[train]'"
        ) from exc
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, and pnnx reads nothing else
            torch.jit.trace(head, picture, check_trace=False).save(  # type: ignore[no-untyped-call]
                folder / "head.pt"
            )
        sizes = ",".join(map(str, picture.shape))
        command = [pnnx.EXEC_PATH, "head.pt", f"inputshape=[{sizes}]f32", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
        try:
            return (folder / "head.ncnn.param").read_bytes(), (folder / "head.ncnn.bin").read_bytes()
        except OSError as exc:
            said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            raise TrainingError(f"pnnx can't convert the network ({said})") from exc


def _renamed(layers: Iterable[Layer], names: Iterable[str], shape: tuple[int, int, int]) -> Graph:
    """Name input and outputs as they are called here, and every layer differently."""
    new = {"in0": PICTURE, **{f"out{number}": name for number, name in enumerate(names)}}
    channels, rows, columns = map(str, shape)
    renamed = [
        replace(
            layer,
            name=f"{layer.kind}{number}",
            inputs=tuple(new.get(name, name) for name in layer.inputs),
            outputs=tuple(new.get(name, name) for name in layer.outputs),
            parameters={"0": columns, "1": rows, "2": channels}
            if layer.kind == "Input"
            else _without_batch(layer),
        )
        for number, layer in enumerate(layers)
    ]
    return Graph(tuple(renamed), {})


def _without_batch(layer: Layer) -> Mapping[str, Parameter]:
    """Write the new sizes of a reshaping for one picture: pnnx lets them depend on how many there are."""
    sizes = layer.parameters.get("6")
    if layer.kind != "Reshape" or not isinstance(sizes, str):
        return layer.parameters
    others = {number: value for number, value in layer.parameters.items() if number not in _BATCH_AXES}
    return {**others, "6": _A_PICTURES.sub(r"\1", sizes).replace(',0n"', '"')}


def _named(graph: Graph, weights: Mapping[str, Tensor]) -> Graph:
    """Give layers with weights the names of torch's modules, all of them where pnnx made one of several.

    Names are found by the values; of modules with the same values, each layer gets one in turn.
    """
    left: dict[str, Tensor] = dict(weights)
    found: dict[str, list[str]] = {layer.name: [] for layer in graph.layers if layer.arrays}
    for again in (False, True):
        for layer in graph.layers:
            for name in _modules(left, layer):
                if layer.arrays and (again or not found[layer.name]) and _fits(left, name, layer):
                    found[layer.name].append(name)
                    for array in layer.arrays:
                        del left[_tensor(name, array.kind)]
    nameless = [name for name, names in found.items() if not names]
    if nameless or left:
        raise TrainingError(
            f"weights of the network and of ncnn's layers differ ({', '.join([*nameless, *left][:3])}); "
            "cut the network elsewhere"
        )
    return Graph(
        tuple(replace(layer, name=_joined(found.get(layer.name, [layer.name]))) for layer in graph.layers),
        graph.shapes,
    )


def _joined(names: list[str]) -> str:
    """Join names of modules: of the second and others, after ``-``, only the last parts that differ from the first's."""
    first, *others = (name.split(".") for name in names)
    short = []
    for other in others:
        same = next((n for n, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), 0)
        short.append("-" + ".".join(other[same:]) if same and len(other) == len(first) else ".".join(other))
    return "+".join([names[0], *short])


def _split(name: str) -> list[str]:
    first, *others = name.split("+")
    parts = first.split(".")
    return [
        first,
        *(
            ".".join([*parts[: -1 - other.count(".")], other[1:]]) if other[0] == "-" else other
            for other in others
        ),
    ]


def _modules(weights: Mapping[str, Tensor], layer: Layer) -> list[str]:
    if not layer.arrays:
        return []
    ending = f".{layer.arrays[0].kind}".rstrip(".")
    return [name.removesuffix(ending) for name in weights if name.endswith(ending)]


def _tensor(module: str, kind: str) -> str:
    return f"{module}.{kind}" if kind else module


def _fits(weights: Mapping[str, Tensor], module: str, layer: Layer) -> bool:
    """Tell whether a layer's arrays are a module's, but for the rounding."""
    for array in layer.arrays:
        tensor = weights.get(_tensor(module, array.kind))
        if tensor is None or tensor.numel() != array.values.size:
            return False
        given = torch.tensor(array.values).flatten()
        if not torch.allclose(given, tensor.flatten(), rtol=1e-4, atol=1e-5 * float(tensor.abs().max())):
            return False
    return True


def _half(array: Array) -> Array:
    """Round weights to float16. pnnx can, too, but cuts off what is to be rounded, and makes zeros of small ones."""
    if not array.tagged or array.kind == "bias":
        return array
    with np.errstate(over="ignore"):  # then it does not compute the same
        return array._replace(values=array.values.astype("<f2"))


def folded(head: Head, picture: Tensor) -> dict[str, Tensor]:
    """Give a head's weights as its graph has them: a batch norm's are in the convolution before it."""
    weights = {head.short(name): tensor for name, tensor in _weights(head)}
    for convolution, norm in _norms(head, picture).items():
        names = {kind: f"{norm.name}.{kind}" for kind in ("weight", "bias", "running_mean", "running_var")}
        factor, offset, mean, variance = (weights.pop(name) for name in names.values())
        factor = factor / (variance + norm.epsilon).sqrt()
        weight, bias = (f"{convolution}.{kind}" for kind in ("weight", "bias"))
        weights[weight] = weights[weight] * factor[:, None, None, None]
        weights[bias] = (weights.get(bias, 0) - mean) * factor + offset
    return weights


def restore(head: Head, weights: Mapping[str, Tensor], shape: tuple[int, int, int]) -> None:
    """Give a head the weights of its graph. A batch norm that was folded only adds its convolution's bias.

    Raises:
        RuntimeError: they are not those of the head.

    """
    state = {name: torch.tensor(0) for name in head.state_dict() if name.endswith("num_batches_tracked")}
    left, device = dict(weights), next(head.parameters()).device
    for convolution, norm in _norms(head, torch.zeros(1, *shape, device=device)).items():
        bias = left.pop(f"{convolution}.bias", torch.tensor(0.0))
        ones = torch.ones(bias.shape)
        left |= {f"{norm.name}.weight": ones, f"{norm.name}.bias": bias}
        left |= {f"{norm.name}.running_mean": 0 * ones, f"{norm.name}.running_var": ones - norm.epsilon}
    for name, own in _weights(head):
        if (value := left.pop(head.short(name), None)) is not None:
            state[name] = value.reshape(own.shape) if value.numel() == own.numel() else value
    if left:
        raise RuntimeError(f"no place for {', '.join(left)}")
    head.load_state_dict(state, assign=True)
    head.requires_grad_(requires_grad=False)


def read_weights(graph: Graph) -> dict[str, Tensor]:
    """Read a graph's weights by the names that they have in torch: float32."""
    return {
        _tensor(name, array.kind): torch.from_numpy(array.values.astype(np.float32))
        for layer in graph.layers
        for name in _split(layer.name)
        for array in layer.arrays
    }


def _weights(head: Head) -> list[tuple[str, Tensor]]:
    return [
        (name, each) for name, each in head.state_dict().items() if not name.endswith("num_batches_tracked")
    ]


@dataclass(frozen=True)
class _Norm:
    name: str
    epsilon: float


class _Watch(TorchFunctionMode):
    """Sees which batch norm takes in what a convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[int, tuple[Tensor, Tensor]] = {}
        """By the id of what a convolution gave: that, so that it stays, and its weight."""
        self.norms: list[tuple[Tensor, Tensor, float]] = []
        """A convolution's weight, a norm's mean, and the norm's epsilon."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever torch gives
        result = func(*args, **(kwargs or {}))
        if func is torch.conv2d:
            self.given[id(result)] = result, args[1]
        if func is functional.batch_norm and id(args[0]) in self.given:
            self.norms.append((self.given[id(args[0])][1], args[1], (kwargs or {})["eps"]))
        return result


def _norms(head: Head, picture: Tensor) -> dict[str, _Norm]:
    """Find the batch norms that follow a convolution, by that convolution's name."""
    watch = _Watch()
    with torch.inference_mode(), watch:
        head.eval()(picture)
    names = {id(each): head.short(name) for name, each in [*head.named_parameters(), *head.named_buffers()]}
    return {
        names[id(weight)].removesuffix(".weight"): _Norm(
            names[id(mean)].removesuffix(".running_mean"), epsilon
        )
        for weight, mean, epsilon in watch.norms
    }


def _compare(name: str, computed: Tensor, expected: Tensor) -> None:
    scale = expected.square().mean().sqrt()
    same = computed.shape == expected.shape
    error = float((computed - expected).square().mean().sqrt() / scale) if same else math.inf
    if not error <= _LARGEST_ERROR:
        raise TrainingError(
            f"ncnn computes another {name} than torch (off by {error:.1%}); cut the network elsewhere"
        )


def _without_winograd(layer: Layer) -> Layer:
    large = layer.kind == "Convolution" and layer.arrays[0].values.size >= _LARGE
    if not large or layer.arrays[0].values.shape[2:] != (3, 3):
        return layer
    number, value = WITHOUT_WINOGRAD
    return replace(layer, parameters={**layer.parameters, number: value})
