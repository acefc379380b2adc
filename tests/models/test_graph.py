"""A network's part on the device becomes a graph of ncnn, and a graph becomes a network again."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from splitwire.models.errors import TrainingError
from splitwire.models.graph import Exported, Head, _joined, _split, export_graph, read_weights, restore
from splitwire.shared.graph.reading import Graph, read_graph
from splitwire.shared.graph.running import Runner

pytest.importorskip("pnnx", reason="pnnx writes the graph")
SHAPE = (3, 16, 16)


class Block(nn.Module):
    """A convolution with a batch norm, and what went in beside it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        normed: Tensor = self.bn(self.conv(maps))
        return normed.add(maps).relu()


class Wave(nn.Module):
    """What ncnn has no layer for."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.sinc()


def head() -> Head:
    front = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), Block(8), Block(8))
    for module in front.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
    encoder = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3))
    learned = nn.Sequential(nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(256, 5))
    classes = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return Head(front, {"cae": encoder, "q1": learned, "classes": classes}).eval()


@pytest.fixture(scope="module")
def original() -> Head:
    torch.manual_seed(0)
    return head()


@pytest.fixture(scope="module")
def exported(original: Head) -> Exported:
    return export_graph(original.front, dict(original.outputs.items()), SHAPE)


def test_ncnn_computes_every_output(original: Head, exported: Exported) -> None:
    graph = read_graph(exported.text.encode(), exported.weights)
    assert graph.outputs == {"feature": (8, 8, 8), "cae": (4, 6, 6), "q1": (5,), "classes": (10,)}
    picture = torch.randn(1, *SHAPE)
    outputs = Runner(graph)(picture[0].numpy())
    with torch.inference_mode():
        for name, expected in zip(original.names, original(picture), strict=True):
            assert np.allclose(outputs[name], expected[0].numpy(), atol=2e-3 * float(expected.abs().max()))


def test_layers_have_the_names_of_modules(exported: Exported) -> None:
    weights = read_weights(read_graph(exported.text.encode(), exported.weights))
    layers = {name.rpartition(".")[0] for name in weights}
    assert layers == {"0", "2.conv", "3.conv", "cae.0", "cae.2", "q1.0", "q1.2", "classes.2"}


def test_a_network_gets_its_weights_back(exported: Exported) -> None:
    graph = read_graph(exported.text.encode(), exported.weights)
    with torch.device("meta"):
        restored = head().eval()
    restore(restored, read_weights(graph), SHAPE)
    restored.to("cpu")
    picture = torch.randn(1, *SHAPE)
    outputs = Runner(graph)(picture[0].numpy())
    with torch.inference_mode():
        for name, expected in zip(restored.names, restored(picture), strict=True):
            assert np.allclose(outputs[name], expected[0].numpy(), atol=1e-5)


def test_what_was_exported_again_is_the_same(exported: Exported) -> None:
    restored = head()
    restore(restored, read_weights(read_graph(exported.text.encode(), exported.weights)), SHAPE)
    assert export_graph(restored.front, dict(restored.outputs.items()), SHAPE) == exported


def test_encoders_with_the_same_weights_both_have_names(original: Head) -> None:
    outputs = {name: copy.deepcopy(original.outputs["cae"]) for name in ("cae", "q1")}
    weights = read_weights(_graph(export_graph(original.front, outputs, SHAPE)))
    assert torch.equal(weights["cae.0.weight"], weights["q1.0.weight"])


def _graph(exported: Exported) -> Graph:
    return read_graph(exported.text.encode(), exported.weights)


def test_large_convolutions_keep_no_tables_where_memory_is_low(exported: Exported) -> None:
    assert exported.low_memory is None
    front = nn.Sequential(nn.Conv2d(3, 256, 1), nn.Conv2d(256, 512, 3), nn.ReLU())
    large = export_graph(front, {}, (3, 4, 4))
    assert large.low_memory is not None
    changed = set(large.low_memory.splitlines()) - set(large.text.splitlines())
    assert [line.split()[1] for line in changed] == ["1"]
    assert all(line.endswith(" 31=64") for line in changed)


def test_what_ncnn_can_not_run_is_refused_by_its_name() -> None:
    with pytest.raises(TrainingError, match=r"ncnn can't run .*sinc.*cut the network before it"):
        export_graph(nn.Sequential(nn.Conv2d(3, 4, 3), Wave()), {}, SHAPE)


def test_weights_too_large_for_float16_are_refused() -> None:
    layer = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        layer.weight.mul_(1e6)
    with pytest.raises(TrainingError, match="ncnn computes another feature"):
        export_graph(nn.Sequential(layer), {}, SHAPE)


def test_a_cut_behind_a_pooling_is_for_one_picture() -> None:
    front = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1))
    exported = export_graph(front, {"cae": nn.Conv2d(8, 2, 1)}, SHAPE)
    assert _graph(exported).outputs == {"feature": (8, 1, 1), "cae": (2, 1, 1)}


def test_many_modules_with_the_same_weights_have_one_short_name() -> None:
    names = [*(f"stages.2.blocks.{number}.gamma" for number in range(20)), "stages.3.gamma", "other"]
    joined = _joined(names)
    assert len(joined) < 250
    assert _split(joined) == names
    assert _joined(names[:1]) == names[0]
