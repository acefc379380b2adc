"""The networks are the paper's, layer for layer, and VGG16 is torchvision's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
import torchvision
from torch import nn

from splitwire.models.autoencoder import Autoencoder, cae, latent_shape, sae
from splitwire.models.bottleneck import Bottleneck, code_shape
from splitwire.models.fallback import Fallback, fully_connected
from splitwire.models.loading import Tail
from splitwire.models.vgg16 import Classifier, convolutions
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def vgg16() -> nn.Sequential:
    torch.manual_seed(0)
    return convolutions().eval()


PAPERS = (512, 7, 7)


@pytest.mark.parametrize("network", [cae, sae])
def test_autoencoders_keep_the_shapes_of_feature_and_latent(
    network: Callable[[Sequence[int]], Autoencoder],
) -> None:
    with torch.device("meta"):
        autoencoder = network(PAPERS)
        feature = torch.zeros(2, *PAPERS)
    assert autoencoder.encoder(feature).shape == (2, 128, 5, 5)
    assert autoencoder(feature).shape == (2, 512, 7, 7)


def test_the_cae_has_the_papers_parameters_under_the_names_they_always_had() -> None:
    network = cae(PAPERS)
    assert parameters(network.encoder) == 311_808
    assert parameters(network.decoder) == 312_192
    layers = [f"{part}.{number}" for part in ("encoder", "decoder") for number in (0, 2, 4)]
    assert list(network.state_dict()) == [f"{layer}.{of}" for layer in layers for of in ("weight", "bias")]


@pytest.mark.parametrize(
    ("feature", "latent"),
    [
        ((512, 7, 7), (128, 5, 5)),
        ((2048, 7, 7), (512, 5, 5)),
        ((1024, 14, 14), (256, 7, 7)),
        ((40, 28, 28), (10, 14, 14)),
        ((64, 112, 112), (16, 14, 14)),
        ((33, 15, 27), (8, 8, 14)),
        ((30, 13, 10), (7, 7, 5)),
        ((320, 9, 6), (80, 7, 4)),
        ((64, 4, 4), (16, 4, 4)),
        ((3, 1, 1), (1, 1, 1)),
        ((1280,), (320,)),
    ],
)
def test_any_feature_has_an_autoencoder_that_restores_its_shape(
    feature: tuple[int, ...], latent: tuple[int, ...]
) -> None:
    assert latent_shape(feature) == latent
    with torch.device("meta"):
        network, features = cae(feature), torch.zeros(2, *feature)
    assert network.encoder(features).shape == (2, *latent)
    assert network(features).shape == (2, *feature)


@pytest.mark.parametrize("shape", [(197, 384), (56, 56, 96)])
def test_features_of_tokens_or_with_channels_last_have_no_autoencoder(shape: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="choose a cut with channels, rows and columns"):
        cae(shape)


def test_the_sae_has_three_layers_of_units() -> None:
    with torch.device("meta"):
        network = sae(PAPERS)
    assert parameters(network.encoder) == 25_088 * 3_200 + 3_200
    assert parameters(network.decoder) == 3_200 * 25_088 + 25_088


@pytest.mark.parametrize("shape", [(32, 7, 7), (32,)])
def test_reconstructed_features_are_negative_only_where_features_can_be(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    feature = torch.rand(4, *shape)
    network = cae(shape)
    assert network.encoder(feature).min() < 0
    assert network(feature).min() >= 0
    assert cae(shape, negative=True)(feature).min() < 0


@pytest.mark.parametrize(
    ("latent", "numbers", "code"),
    [
        ((128, 5, 5), 16, (16,)),
        ((320,), 24, (24,)),
        ((512, 5, 5), 24, (6, 2, 2)),
        ((256, 7, 7), 128, (8, 4, 4)),
        ((10, 14, 14), 400, (8, 7, 7)),
        ((640, 4, 3), 128, (10, 4, 3)),
    ],
)
def test_a_latent_becomes_as_many_integers_as_asked_for_or_whole_maps_of_them(
    latent: tuple[int, ...], numbers: int, code: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    bottleneck = Bottleneck(latent, code_shape(latent, numbers), (16,))
    latents = torch.randn(64, *latent)
    bottleneck.spread(latents)
    integers = bottleneck.integers(latents)
    assert bottleneck.code_shape == code
    assert integers.shape == (64, *code)
    assert torch.equal(integers, integers.round())
    assert float(integers.detach().movedim(1, -1).flatten(0, -2).std(0).mean()) == pytest.approx(2, abs=0.2)
    restored, bits = bottleneck.train()(latents)
    assert restored.shape == latents.shape
    assert bits.shape == (64,)
    bits.sum().backward()
    weight = bottleneck.get_parameter("analysis.0.weight")
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("numbers", [100, 128, 129, 149, 150, 500])
def test_a_bottleneck_is_built_again_from_the_shape_of_its_code(numbers: int) -> None:
    latent = (128, 5, 5)
    code = code_shape(latent, numbers)
    assert math.prod(code) <= numbers
    assert (len(code) == 3) == (numbers > 128), (
        "129 to 149 numbers are 125, as maps: not those of 125 numbers"
    )
    Bottleneck(latent, code, (16,)).load_state_dict(Bottleneck(latent, code, (16,)).state_dict())
    assert Bottleneck(latent, code, (16,)).in_maps == (numbers > 128)


def test_a_code_that_no_halving_leads_to_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no layers make a code of shape \(5, 4, 4\)"):
        Bottleneck((128, 5, 5), (5, 4, 4), ())


@pytest.mark.parametrize("shape", [(32, 7, 7), (32,)])
def test_the_fallback_classifies_what_channels_are_on_the_mean(shape: tuple[int, ...]) -> None:
    assert Fallback(32, 5, (8,))(torch.zeros(2, *shape)).shape == (2, 5)


def test_vgg16_is_torchvisions(vgg16: nn.Sequential) -> None:
    with torch.device("meta"):
        reference = torchvision.models.vgg16().features
    assert list(vgg16.state_dict()) == list(reference.state_dict())
    assert [type(layer) for layer in vgg16] == [type(layer) for layer in reference]
    reference.load_state_dict(vgg16.state_dict(), assign=True)
    pictures = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(vgg16(pictures), reference(pictures))


@pytest.mark.parametrize(
    ("end", "shape"),
    [
        (0, (3, 224, 224)),
        (5, (64, 112, 112)),
        (10, (128, 56, 56)),
        (17, (256, 28, 28)),
        (24, (512, 14, 14)),
        (31, (512, 7, 7)),
    ],
)
def test_every_block_has_the_stated_shape(vgg16: nn.Sequential, end: int, shape: tuple[int, ...]) -> None:
    first, rest = vgg16[:end], vgg16[end:]
    with torch.inference_mode():
        middle = first(torch.zeros(1, 3, 224, 224))
        assert middle.shape[1:] == shape
        assert rest(middle).shape[1:] == (512, 7, 7)


def test_the_classifier_of_vgg16_has_its_parameters() -> None:
    with torch.device("meta"):
        assert parameters(Classifier(1000)) == 123_642_856
        assert parameters(Classifier(10, (512, 512))) == 13_113_354


def test_a_tail_makes_logits_of_latents_and_of_a_qualitys_numbers() -> None:
    with torch.device("meta"):
        tail = Tail(cae(PAPERS).decoder, Classifier(10), latent_shape(PAPERS))
        assert tail(torch.zeros(2, 128, 5, 5)).shape == (2, 10)
        learned = Tail(
            cae(PAPERS).decoder, Classifier(10), latent_shape(PAPERS), fully_connected((24, 128 * 5 * 5))
        )
        assert learned(torch.zeros(2, 24)).shape == (2, 10)


def test_a_fresh_classifier_has_the_same_answer_wherever_in_the_maps_something_is() -> None:
    torch.manual_seed(0)
    classifier, feature = Classifier(3, (8,)).eval(), torch.rand(2, *PAPERS)
    moved = feature.flatten(2)[:, :, torch.randperm(49)].view_as(feature)
    assert torch.allclose(classifier(feature), classifier(moved), atol=1e-5)
