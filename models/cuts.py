"""Where a network can be cut: the places in its graph that exactly one tensor crosses.

picture ──front──> feature ──back──> logits

torch.fx follows the network in evaluation mode. A place is called by the module whose output crosses: where several
modules end there, by the outermost that is no ``nn.Sequential``, but each of their names will do. Where none ends,
it is called by the module that it lies in and its node in the graph: ``head.flatten``.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from splitwire.shared.errors import SettingsError
from splitwire.shared.pictures.decoding import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NEVER_NEGATIVE = (
    *(nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softmax),
    *(functional.relu, functional.relu6, torch.relu, torch.sigmoid, "relu", "relu_", "sigmoid"),
)
_KEEPS_SIGN = (
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    *(nn.Flatten, nn.Dropout, nn.Identity, operator.add, operator.iadd, torch.cat, torch.flatten),
    *(
        functional.adaptive_avg_pool2d,
        functional.max_pool2d,
        "mean",
        "flatten",
        "reshape",
        "view",
        "contiguous",
    ),
)
"""Not negative where none of their inputs is."""
_PICTURES = 2
"""Run through a network to see which tensors have an entry for each."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one side of a cut takes; multiplications are those for a picture of convolutions and matrix products."""

    parameters: int
    multiplications: int


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A place where a network can be cut.

    ``shape``: the feature's, without the batch. ``negative``: whether the feature may have negative numbers: not after
    a ReLU, nor after a pooling or a sum of what comes from one.
    """

    name: str
    shape: tuple[int, ...]
    negative: bool
    front: Side
    back: Side

    @property
    def elements(self) -> int:
        """Count the feature's numbers."""
        return math.prod(self.shape)


def cuts(network: nn.Module, picture_shape: tuple[int, int, int]) -> list[Cut]:
    """List the places where a network should be cut, in order.

    Neighbouring places with the same shape and multiplications, as before and after a ReLU, are listed as one.
    Places with nothing to multiply behind them are not listed.

    Args:
        network: [N, *picture_shape] -> [N, classes]; on the device "meta" this takes no memory.
        picture_shape: channels, rows, columns.

    Raises:
        SettingsError: torch.fx can't follow the network.

    """
    graph = _Graph(network)
    graph.measure(picture_shape)
    every = [graph.cut(node) for node in graph.places if graph.is_feature(node)]
    listed = list[Cut]()
    for (_, multiplications), group in groupby(
        filter(lambda cut: cut.back.multiplications, every), key=_alike
    ):
        cut = min(reversed(list(group)), key=lambda cut: (graph.is_idle(cut.name), cut.name.count(".")))
        before = listed[-1] if listed else None
        if not before or (before.elements, before.front.multiplications) != (cut.elements, multiplications):
            listed.append(cut)
    return listed


def find_cut(network: nn.Module, picture_shape: tuple[int, int, int], name: str) -> Cut:
    """Describe a place, listed or not. Of its names, the one that is returned is the one to keep.

    Raises:
        SettingsError: torch.fx can't follow the network, or it can't be cut there.

    """
    graph = _Graph(network)
    node = graph.place(name)
    graph.measure(picture_shape)
    if not graph.is_feature(node):
        raise SettingsError(
            f"what crosses at {name!r} is no tensor with an entry a picture; choose another cut"
        )
    return graph.cut(node)


def split(network: nn.Module, cut: str) -> tuple[nn.Module, nn.Module]:
    """Cut a network into front, picture -> feature, and back, feature -> logits.

    They are made of the network's own modules: parameters and buffers have the names that they have there, and are
    shared with it. Both compute what the network computes in evaluation mode.

    Raises:
        SettingsError: torch.fx can't follow the network, or it can't be cut there.

    """
    graph = _Graph(network)
    place = graph.place(cut)
    front, back = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.needed_for(place):
        copies[node] = front.node_copy(node, copies.__getitem__)
    front.output(copies[place])
    copies = {place: back.placeholder("feature")}
    for node in graph.needed_for(graph.logits, beside=place):
        copies[node] = back.node_copy(node, copies.__getitem__)
    back.output(copies[graph.logits])
    return fx.GraphModule(network, front, "Front"), fx.GraphModule(network, back, "Back")


def watched(network: nn.Module, names: Sequence[str], passed: Callable[[], None]) -> nn.Module:
    """Build a network that computes the same, and calls ``passed`` when it has come to each of some cuts."""
    graph = _Graph(network)
    nodes = [graph.place(name) for name in names]
    whole = fx.GraphModule(network, graph.graph)
    whole.add_submodule("passed", _Calling(passed))
    for node in nodes:
        with whole.graph.inserting_after(node):
            whole.graph.call_module("passed", (node,))
    whole.recompile()
    return whole


class _Calling(nn.Module):
    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self._function = function

    def forward(self, _: Tensor) -> None:
        self._function()


class _Tracer(fx.Tracer):
    """Keeps apart what timm wants kept apart, and notes which modules end with which node."""

    def __init__(self, network: nn.Module) -> None:
        self._leaves: tuple[type[nn.Module], ...] = ()
        functions: tuple[Callable[..., Any], ...] = ()
        if type(network).__module__.startswith("timm."):
            from timm.layers import get_notrace_functions, get_notrace_modules  # noqa: PLC0415

            self._leaves, functions = tuple(get_notrace_modules()), tuple(get_notrace_functions())
        super().__init__(autowrap_functions=functions)
        self.ends: dict[fx.Node, list[str]] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._leaves) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401 - whatever the module gives
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.ends.setdefault(output.node, []).append(self.path_of_module(m))
        return output


class _Graph:
    """A network's graph, its places with their names, and what they cost."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        tracer, training = _Tracer(network), network.training
        try:
            self.graph = tracer.trace(network.eval())
        except Exception as exc:  # whatever the network's code raises about what is no tensor
            raise SettingsError(
                f"torch.fx can't follow the network ({one_line(exc)}), so it can't be cut; choose another"
            ) from exc
        finally:
            network.train(training)
        *_, output = self.graph.nodes
        self.picture = next(node for node in self.graph.nodes if node.op == "placeholder")
        logits = output.args[0]
        if not isinstance(logits, fx.Node):
            raise SettingsError("the network has several outputs, so it can't be cut; choose another")
        self.logits = logits
        self.places = self._find_places()
        self._called: dict[fx.Node, str] = {}
        self._by_name: dict[str, fx.Node] = {}
        for node in self.places:
            self._name(node, tracer.ends.get(node, []))
        self._shapes: dict[fx.Node, torch.Size] = {}
        self._multiplications: dict[fx.Node, int] = {}

    def _find_places(self) -> list[fx.Node]:
        """Find nodes that every way from the picture to the logits leads through."""
        way = set[fx.Node]()
        for node in self.needed_for(self.logits):
            if node is self.picture or way.intersection(node.all_input_nodes):
                way.add(node)
        order = [node for node in self.graph.nodes if node in way]
        position = {node: index for index, node in enumerate(order)}
        places, last_use = [], 0
        for index, node in enumerate(order[:-1]):
            if index and last_use <= index:
                places.append(node)
            last_use = max([last_use, *(position.get(user, 0) for user in node.users)])
        return places

    def _name(self, node: fx.Node, ends: list[str]) -> None:
        own = [name for name in ends if name not in self._by_name]  # a module may be called twice
        inside = next(reversed(node.meta.get("nn_module_stack", {"": ("",)}).values()))[0]
        own = own or [f"{inside}.{node.name}".lstrip(".")]
        for name in own:
            self._by_name[name] = node
        single = [
            n for n in own if n in ends and not isinstance(self._network.get_submodule(n), nn.Sequential)
        ]
        self._called[node] = (single or own)[-1]

    def place(self, name: str) -> fx.Node:
        if name not in self._by_name:
            near = get_close_matches(name, self._by_name, cutoff=0.5)
            meant = f"; did you mean {' or '.join(near)}?" if near else ";"
            raise SettingsError(
                f"the network can't be cut at {name!r}{meant} "
                "python -m splitwire.models.training cuts --network NAME lists where it can"
            )
        return self._by_name[name]

    def is_idle(self, name: str) -> bool:
        """Tell whether what is called so does nothing in evaluation mode."""
        node = self._by_name[name]
        return node.target == name and isinstance(self._module(node), (nn.Dropout, nn.Identity))

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self._network.get_submodule(str(node.target)) if node.op == "call_module" else None

    def needed_for(self, goal: fx.Node, *, beside: fx.Node | None = None) -> list[fx.Node]:
        """List, in order, a node and all it needs; ``beside``: given one that is known."""
        needed, ahead = set[fx.Node](), [goal]
        while ahead:
            node = ahead.pop()
            if node not in needed and node is not beside:
                needed.add(node)
                ahead += node.all_input_nodes
        return [node for node in self.graph.nodes if node in needed]

    def measure(self, picture_shape: tuple[int, int, int]) -> None:
        """Run through the network without numbers: on the device "meta"."""
        run = _Measured(fx.GraphModule(self._network, self.graph))
        pictures = torch.zeros(_PICTURES, *picture_shape, device="meta")
        try:
            with torch.no_grad():
                state = {
                    name: value.to("meta") for name, value in (*run.named_parameters(), *run.named_buffers())
                }
                torch.func.functional_call(run, state, pictures)
        except Exception as exc:
            raise SettingsError(
                f"the network can't be measured with pictures of {picture_shape} ({one_line(exc)}); choose another"
            ) from exc
        self._shapes, self._multiplications = run.shapes, run.multiplications

    def is_feature(self, node: fx.Node) -> bool:
        shape = self._shapes.get(node, ())
        return len(shape) > 1 and shape[0] == _PICTURES

    def cut(self, node: fx.Node) -> Cut:
        return Cut(
            name=self._called[node],
            shape=tuple(self._shapes[node][1:]),
            negative=self._may_be_negative(node),
            front=self._side(self.needed_for(node)),
            back=self._side(self.needed_for(self.logits, beside=node)),
        )

    def _side(self, nodes: list[fx.Node]) -> Side:
        parameters = set[nn.Parameter]()
        for node in nodes:
            if node.op == "call_module":
                parameters.update(self._network.get_submodule(str(node.target)).parameters())
            elif node.op == "get_attr":
                owner, _, name = str(node.target).rpartition(".")
                value = getattr(self._network.get_submodule(owner), name)
                parameters.update([value] if isinstance(value, nn.Parameter) else [])
        return Side(
            parameters=sum(parameter.numel() for parameter in parameters),
            multiplications=sum(self._multiplications[node] for node in nodes) // _PICTURES,
        )

    def _may_be_negative(self, node: fx.Node) -> bool:
        module = self._module(node)
        if isinstance(module, nn.BatchNorm2d):
            module = getattr(module, "act", module)  # timm's has its activation with it
        operation = type(module) if module else node.target
        if operation in _NEVER_NEGATIVE:
            return False
        inputs = node.all_input_nodes
        return operation not in _KEEPS_SIGN or not inputs or any(map(self._may_be_negative, inputs))


class _Measured(nn.Module):
    """A graph that keeps the shapes and counts the multiplications of its nodes while it is run."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph
        self.shapes: dict[fx.Node, torch.Size] = {}
        self.multiplications: dict[fx.Node, int] = {}

    def forward(self, pictures: Tensor) -> None:
        with FlopCounterMode(display=False) as counter:
            _Measuring(self, counter).run(pictures)


class _Measuring(fx.Interpreter):
    def __init__(self, measured: _Measured, counter: FlopCounterMode) -> None:
        super().__init__(measured.graph)
        self._measured, self._counter = measured, counter

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - whatever a node gives
        before = self._counter.get_total_flops()
        output = super().run_node(n)
        flops = self._counter.get_total_flops() - before
        self._measured.multiplications[n] = flops // 2  # each goes with an addition
        if isinstance(output, Tensor):
            self._measured.shapes[n] = output.shape
        return output


def _alike(cut: Cut) -> tuple[tuple[int, ...], int]:
    """Tell what places have in common that are listed as one. Maps of one pixel are numbers."""
    rows = list(cut.shape)
    while len(rows) > 1 and rows[-1] == 1:
        rows.pop()
    return tuple(rows), cut.front.multiplications
