"""Networks are cut where one tensor crosses, and both parts together are the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from splitwire.models.cuts import cuts, find_cut, split
from splitwire.models.networks import build
from splitwire.shared.bundle import NetworkSpec
from splitwire.shared.errors import SettingsError

HIDDEN = {"vgg16": (16, 8)}


def network(name: str, classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return build(NetworkSpec(name=name, cut="any", hidden=HIDDEN.get(name, ())), classes).eval()


@pytest.mark.parametrize(
    ("name", "side"),
    [("mobilenetv3_small_050", 64), ("resnet18", 64), ("test_convnext", 64), ("test_vit", 160)],
)
@torch.inference_mode()
def test_both_parts_compute_what_the_whole_does_at_every_cut(name: str, side: int) -> None:
    whole = network(name)
    pictures = torch.randn(2, 3, side, side)
    logits, names = whole(pictures), set(whole.state_dict())
    listed = cuts(whole, (3, side, side))
    assert len(listed) > 8
    for cut in listed:
        front, back = split(whole, cut.name)
        feature = front(pictures)
        assert feature.shape == (2, *cut.shape), cut.name
        assert cut.negative or feature.min() >= 0, cut.name
        assert torch.equal(back(feature), logits), cut.name
        assert set(front.state_dict()) | set(back.state_dict()) == names
        assert cut == find_cut(whole, (3, side, side), cut.name)


def test_parts_share_their_weights_with_the_whole() -> None:
    whole = network("test_resnet")
    front, back = split(whole, "layer2.0")
    for part in (front, back):
        for name, parameter in part.named_parameters():
            assert parameter is whole.get_parameter(name)


def test_vgg16_has_the_papers_cut_and_its_known_costs() -> None:
    with torch.device("meta"):
        listed = {cut.name: cut for cut in cuts(network("vgg16", 10), (3, 224, 224))}
    paper = listed["features.30"]
    assert paper.shape == (512, 7, 7)
    assert paper.elements == 25_088
    assert not paper.negative
    assert paper.front.parameters == 14_714_688
    assert paper.front.multiplications == 15_346_630_656
    assert paper.back.multiplications == 25_088 * 16 + 16 * 8 + 8 * 10
    assert paper.back.parameters == 25_088 * 16 + 16 * 8 + 8 * 10 + 16 + 8 + 10
    assert list(listed)[:3] == ["features.1", "features.3", "features.4"], "after ReLU and after pooling"
    assert list(listed)[-3:] == ["features.30", "classifier.layers.1", "classifier.layers.4"]


def test_the_costs_of_known_networks_are_those_published() -> None:
    for name, billions in (("resnet50", 4.09), ("tf_efficientnet_lite0", 0.384)):
        with torch.device("meta"):
            *_, last = cuts(network(name, 1000), (3, 224, 224))
        total = last.front.multiplications + last.back.multiplications
        assert total / 1e9 == pytest.approx(billions, rel=0.01), name


def test_any_name_of_a_place_will_do_and_one_is_kept() -> None:
    whole = network("resnet18")
    for name in ("layer1", "layer1.1", "layer1.1.act2"):
        assert find_cut(whole, (3, 64, 64), name).name == "layer1.1"
    with pytest.raises(SettingsError, match=r"can't be cut at 'layer1.0.conv1'; did you mean layer1.0"):
        split(whole, "layer1.0.conv1")


class Unfollowed(nn.Module):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures if pictures.sum() > 0 else -pictures


class TwoOutputs(nn.Module):
    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return pictures, pictures + 1


class OnlyAlone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, pictures: Tensor) -> Tensor:
        maps: Tensor = self.convolution(pictures)
        return maps.view(1, -1) + 1


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (Unfollowed(), "torch.fx can't follow the network"),
        (TwoOutputs(), "several outputs"),
        (network("vgg16"), r"can't be measured with pictures of \(3, 32, 32\)"),
    ],
)
def test_a_network_that_can_not_be_cut_is_refused(whole: nn.Module, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        cuts(whole, (3, 32, 32))


def test_what_has_no_entry_for_each_picture_is_no_feature() -> None:
    whole = OnlyAlone()
    with pytest.raises(SettingsError, match="no tensor with an entry a picture"):
        find_cut(whole, (3, 8, 8), "view")
