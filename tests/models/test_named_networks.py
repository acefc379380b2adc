"""Networks by name: what is built, how it wants its pictures, and which initial weights fit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from torch import Tensor, nn

from splitwire.models.errors import TrainingError
from splitwire.models.networks import build, load_initial_weights, preparation
from splitwire.shared.bundle import NetworkSpec
from splitwire.shared.errors import PackagesMissing, SettingsError
from splitwire.shared.pictures.decoding import View
from splitwire.shared.pictures.loading import Preparation, prepare

if TYPE_CHECKING:
    from pathlib import Path

SMALL = NetworkSpec(name="test_resnet", cut="layer2.0")


def small(classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return build(SMALL, classes)


def written(folder: Path, state: dict[str, Tensor]) -> Path:
    file = folder / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    return file


def test_the_papers_network_has_torchvisions_names_for_its_convolutions() -> None:
    with torch.device("meta"):
        network = build(NetworkSpec(name="vgg16", cut="features.30", hidden=(8,)), 10)
    names = list(network.state_dict())
    assert names[:2] == ["features.0.weight", "features.0.bias"]
    assert names[-1] == "classifier.layers.3.bias"
    assert preparation("vgg16") == Preparation()


@pytest.mark.parametrize("name", ["test_resnet", "tf_efficientnet_lite0", "resnet50"])
@pytest.mark.parametrize("size", [(500, 375), (240, 320)])
def test_a_picture_is_prepared_as_timm_does_but_for_a_pixel(name: str, size: tuple[int, int]) -> None:
    noise = Image.effect_noise((6, 6), 80).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    config = timm.get_pretrained_cfg(name).to_dict()
    theirs = create_transform(**resolve_data_config(pretrained_cfg=config))(noise).numpy()
    ours = prepare(noise, preparation(name))
    assert ours.shape == theirs.shape
    levels = np.abs(ours - theirs) * np.array(preparation(name).std)[:, None, None] * 255
    assert levels.mean() < 3, "timm rounds to a pixel of what is already smaller"


def test_some_networks_see_a_picture_squashed() -> None:
    left_and_right = Image.new("RGB", (400, 200), "white")
    left_and_right.paste((0, 0, 0), (100, 0, 300, 200))
    squashed = Preparation(squash=True, mean=(0, 0, 0), std=(1, 1, 1))
    assert prepare(left_and_right, squashed)[0, 0, [0, 112, 223]].tolist() == [1, 0, 1]
    assert prepare(left_and_right, Preparation(mean=(0, 0, 0), std=(1, 1, 1))).max() == 0


def test_what_a_preparation_leaves_at_its_default_is_not_written() -> None:
    assert set(Preparation().model_dump()) == {"size", "mean", "std"}
    changed = Preparation(crop=0.875, interpolation="bicubic")
    assert Preparation.model_validate(changed.model_dump(mode="json")) == changed
    assert changed.view == View(224, 0.875, squash=False, bicubic=True)


def test_an_unknown_network_is_refused_with_names_that_are_near() -> None:
    with pytest.raises(SettingsError, match=r"did you mean .*resnet50.*timm.list_models\(\)"):
        build(NetworkSpec(name="resnet-50", cut="x"), 10)
    with pytest.raises(SettingsError, match=r"the tags are .*resnet50.a1_in1k"):
        preparation("resnet50.a1")


def test_a_preparation_that_is_not_made_here_is_refused() -> None:
    with pytest.raises(SettingsError, match="only squares"):
        preparation(border())


def border() -> str:
    """Find a network that wants its pictures within a border."""
    for name in timm.list_models():
        config = timm.get_pretrained_cfg(name)
        if config and config.crop_mode == "border":
            return str(name)
    raise AssertionError


def test_weights_of_other_classes_leave_the_head_as_it_is(tmp_path: Path) -> None:
    state = small(classes=7).state_dict()
    network = build(SMALL, 5)
    head = network.get_parameter("fc.weight").clone()
    load_initial_weights(network, SMALL.name, written(tmp_path, state))
    assert torch.equal(network.get_parameter("fc.weight"), head)
    assert torch.equal(network.get_parameter("conv1.0.weight"), state["conv1.0.weight"])


def test_weights_of_the_same_classes_bring_their_head(tmp_path: Path) -> None:
    state = small().state_dict()
    network = build(SMALL, 5)
    halves = {name: value.half() for name, value in state.items() if "num_batches" not in name}
    load_initial_weights(network, SMALL.name, written(tmp_path, halves))
    assert torch.equal(network.get_parameter("fc.weight"), state["fc.weight"].half().float())


def test_only_the_convolutions_of_vgg16_need_to_be_in_a_file(initial_weights: Path) -> None:
    network = build(NetworkSpec(name="vgg16", cut="features.30", hidden=(4,)), 3)
    before = network.get_parameter("classifier.layers.0.weight").clone()
    load_initial_weights(network, "vgg16", initial_weights)
    assert torch.equal(network.get_parameter("classifier.layers.0.weight"), before)


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    state = small().state_dict()
    del state["conv1.0.weight"]
    state["conv9.weight"] = torch.zeros(1)
    state["bn1.bias"] = torch.zeros(3)
    network = build(SMALL, 5)
    with pytest.raises(TrainingError) as refused:
        load_initial_weights(network, SMALL.name, written(tmp_path, state))
    for said in ("absent: conv1.0.weight", "unknown: conv9.weight", "bn1.bias [3] instead of"):
        assert said in str(refused.value)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no initial weights at"):
        load_initial_weights(small(), SMALL.name, tmp_path / "absent.safetensors")
    pickled = tmp_path / "model.pth"
    pickled.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(TrainingError, match="they are a safetensors file"):
        load_initial_weights(small(), SMALL.name, pickled)


def test_without_timm_the_papers_network_is_built_and_another_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    build(NetworkSpec(name="vgg16", cut="features.30", hidden=(8,)), 10)
    with pytest.raises(
        PackagesMissing, match=r"the network 'resnet18' needs the package timm.*'\.\[networks\]'"
    ):
        build(NetworkSpec(name="resnet18", cut="layer2"), 10)
