"""The packed tail is the tail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from splitwire.models.autoencoder import LATENT_SHAPE, convolutional_decoder
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
    tail = Tail(convolutional_decoder(), Classifier(10, hidden)).eval()
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
    tail = Tail(convolutional_decoder(), Classifier(10, (16,)), synthesis).eval()
    latents = torch.randint(-3, 4, (pictures, sizes[0])).float()
    with torch.inference_mode():
        expected = tail(latents)
    assert not any(isinstance(layer, nn.Conv2d) for layer in pack_tails({"q": tail})["q"].modules())
    logits = packed_logits(tail, latents)
    assert expected.std() > 0
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_what_is_no_number_stays_none() -> None:
    tail = Tail(convolutional_decoder(), Classifier(10, (8,))).eval()
    logits = packed_logits(tail, torch.full((1, *LATENT_SHAPE), 3e38))
    assert logits.isnan().any()


def test_what_qualities_share_is_packed_once() -> None:
    first = Tail(convolutional_decoder(), Classifier(10, (8,))).eval()
    second = Tail(convolutional_decoder(), first.classifier).eval()
    tails = {"paper": first, "int8": first, "q1": second}
    packed = pack_tails(tails)
    assert packed["paper"] is packed["int8"]
    assert packed["q1"][-1] is packed["int8"][-1]
    assert packed["q1"] is not packed["int8"]
