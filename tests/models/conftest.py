"""A tiny data set, and weights to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from splitwire.models.networks import build
from splitwire.models.vgg16 import convolutions
from splitwire.shared.bundle import NetworkSpec

if TYPE_CHECKING:
    from pathlib import Path

TINY, TINY_CUT = "test_resnet", "layer3.0"
"""With pictures of 64 x 64, 192x4x4 crosses the cut."""
COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (210, 50, 40)}


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy patches of three colours: 16 a class to train on, 4 to test."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 4)):
        for name, colour in COLOURS.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                noisy = rng.normal(colour, 40, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(folder / f"{number:02}.png")
    return root


@pytest.fixture(scope="session")
def initial_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG16's convolutions with He's initialisation, under torchvision's names."""
    torch.manual_seed(0)
    network = convolutions()
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    inputs = network[0]
    assert isinstance(inputs, nn.Conv2d)
    inputs.weight.data /= 60  # pictures have values of about 60
    file = tmp_path_factory.mktemp("weights") / "initial.safetensors"
    save_file({f"features.{name}": value.half() for name, value in network.state_dict().items()}, file)
    return file


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of timm that is quick, with random weights, for as many classes as ImageNet has."""
    torch.manual_seed(0)
    network = build(NetworkSpec(name=TINY, cut=TINY_CUT), 1000)
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(network.state_dict(), file)
    return file
