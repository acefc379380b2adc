"""The networks are the paper's, layer for layer, and VGG16 is torchvision's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torchvision
from torch import nn

from splitwire.models.autoencoder import Autoencoder, cae, convolutional_decoder, convolutional_encoder, sae
from splitwire.models.fallback import fully_connected
from splitwire.models.loading import Tail
from splitwire.models.vgg16 import BLOCK_SHAPES, Classifier, convolutions, split_blocks

if TYPE_CHECKING:
    from collections.abc import Callable


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def vgg16() -> nn.Sequential:
    torch.manual_seed(0)
    return convolutions().eval()


@pytest.mark.parametrize("network", [cae, sae])
def test_autoencoders_keep_the_shapes_of_feature_and_latent(network: Callable[[], Autoencoder]) -> None:
    with torch.device("meta"):
        autoencoder = network()
        feature = torch.zeros(2, 512, 7, 7)
    assert autoencoder.encoder(feature).shape == (2, 128, 5, 5)
    assert autoencoder(feature).shape == (2, 512, 7, 7)


def test_the_cae_has_the_papers_parameters() -> None:
    assert parameters(convolutional_encoder()) == 311_808
    assert parameters(convolutional_decoder()) == 312_192


def test_the_sae_has_three_layers_of_units() -> None:
    with torch.device("meta"):
        network = sae()
    assert parameters(network.encoder) == 25_088 * 3_200 + 3_200
    assert parameters(network.decoder) == 3_200 * 25_088 + 25_088


def test_latents_can_be_negative_and_reconstructed_features_can_not() -> None:
    torch.manual_seed(0)
    network = cae()
    feature = torch.rand(4, 512, 7, 7)
    assert network.encoder(feature).min() < 0
    assert network(feature).min() >= 0


def test_vgg16_is_torchvisions(vgg16: nn.Sequential) -> None:
    with torch.device("meta"):
        reference = torchvision.models.vgg16().features
    assert list(vgg16.state_dict()) == list(reference.state_dict())
    assert [type(layer) for layer in vgg16] == [type(layer) for layer in reference]
    reference.load_state_dict(vgg16.state_dict(), assign=True)
    pictures = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(vgg16(pictures), reference(pictures))


@pytest.mark.parametrize("blocks", range(6))
def test_every_block_has_the_stated_shape(vgg16: nn.Sequential, blocks: int) -> None:
    first, rest = split_blocks(vgg16, blocks)
    with torch.inference_mode():
        middle = first(torch.zeros(1, 3, 224, 224))
        assert middle.shape[1:] == BLOCK_SHAPES[blocks]
        assert rest(middle).shape[1:] == (512, 7, 7)


def test_the_classifier_of_vgg16_has_its_parameters() -> None:
    with torch.device("meta"):
        assert parameters(Classifier(1000)) == 123_642_856
        assert parameters(Classifier(10, (512, 512))) == 13_113_354


def test_a_tail_makes_logits_of_latents_and_of_a_qualitys_numbers() -> None:
    with torch.device("meta"):
        tail = Tail(convolutional_decoder(), Classifier(10))
        assert tail(torch.zeros(2, 128, 5, 5)).shape == (2, 10)
        learned = Tail(convolutional_decoder(), Classifier(10), fully_connected((24, 128 * 5 * 5)))
        assert learned(torch.zeros(2, 24)).shape == (2, 10)
