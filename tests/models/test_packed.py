"""The packed tail is the tail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from splitwire.models.autoencoder import LATENT_SHAPE, cae
from splitwire.models.fallback import fully_connected
from splitwire.models.loading import Tail
from splitwire.models.packed import can_pack, pack_tails
from splitwire.models.vgg16 import Classifier

if TYPE_CHECKING:
    from torch import Tensor


pytestmark = pytest.mark.skipif(not can_pack(), reason="no oneDNN here")


def packed_logits(tail: Tail, latents: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = pack_tails({"q": tail})["q"](latents)
    return logits


@pytest.mark.parametrize("hidden", [(), (16,), (32, 8)])
@pytest.mark.parametrize("pictures", [1, 3])
def test_it_gives_the_same_logits(hidden: tuple[int, ...], pictures: int) -> None:
    torch.manual_seed(0)
    tail = Tail(cae((512, 7, 7)).decoder, Classifier(10, hidden), LATENT_SHAPE).eval()
    latents = torch.randn(pictures, *LATENT_SHAPE)
    with torch.inference_mode():
        expected = tail(latents)
    logits = packed_logits(tail, latents)
    assert logits.shape == (pictures, 10)
    assert expected.std() > 0
    assert torch.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [(24,), (24, 16), (24, 16, 32)])
@pytest.mark.parametrize("pictures", [1, 3])
def test_a_synthesis_is_folded_into_it(sizes: tuple[int, ...], pictures: int) -> None:
    torch.manual_seed(0)
    synthesis = fully_connected((*sizes, math.prod(LATENT_SHAPE)))
    for parameter in synthesis.parameters():
        nn.init.normal_(parameter)
    tail = Tail(cae((512, 7, 7)).decoder, Classifier(10, (16,)), LATENT_SHAPE, synthesis).eval()
    latents = torch.randint(-3, 4, (pictures, sizes[0])).float()
    with torch.inference_mode():
        expected = tail(latents)
    assert not any(isinstance(layer, nn.Conv2d) for layer in pack_tails({"q": tail})["q"].modules())
    logits = packed_logits(tail, latents)
    assert expected.std() > 0
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_what_is_no_number_stays_none() -> None:
    tail = Tail(cae((512, 7, 7)).decoder, Classifier(10, (8,)), LATENT_SHAPE).eval()
    logits = packed_logits(tail, torch.full((1, *LATENT_SHAPE), 3e38))
    assert logits.isnan().any()


def test_what_qualities_share_is_packed_once() -> None:
    first = Tail(cae((512, 7, 7)).decoder, Classifier(10, (8,)), LATENT_SHAPE).eval()
    second = Tail(cae((512, 7, 7)).decoder, first.back, LATENT_SHAPE).eval()
    tails = {"paper": first, "int8": first, "q1": second}
    packed = pack_tails(tails)
    assert packed["paper"] is packed["int8"]
    assert list(packed["q1"].children())[-1] is list(packed["int8"].children())[-1]
    assert packed["q1"] is not packed["int8"]


@pytest.mark.parametrize(
    "back",
    [
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)),
        nn.Sequential(nn.Conv2d(512, 8, 1), nn.Flatten(), nn.Linear(8 * 49, 10)),
    ],
)
def test_other_tails_have_channels_last(back: nn.Module) -> None:
    tail = Tail(cae((512, 7, 7)).decoder, back, LATENT_SHAPE)
    assert pack_tails({"q": tail})["q"] is tail
    weights = [weight for weight in tail.parameters() if weight.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_tails_of_larger_features_stay_as_they_are() -> None:
    tail = Tail(cae((8, 16, 16)).decoder, Classifier(10, (8,)), (2, 8, 8))
    assert pack_tails({"q": tail})["q"] is tail
