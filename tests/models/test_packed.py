"""The packed tail is the tail."""

from __future__ import annotations

import pytest
import torch

from models.autoencoder import ConvolutionalDecoder
from models.packed import can_pack, pack_tails
from models.split import Tail
from models.vgg16 import Classifier

pytestmark = pytest.mark.skipif(not can_pack(), reason="no oneDNN here")


@pytest.mark.parametrize("hidden", [(), (16,), (32, 8)])
@pytest.mark.parametrize("pictures", [1, 3])
def test_it_gives_the_same_logits(hidden: tuple[int, ...], pictures: int) -> None:
    torch.manual_seed(0)
    tail = Tail(ConvolutionalDecoder(), Classifier(10, hidden)).eval()
    latents = torch.randn(pictures, 128, 5, 5)
    with torch.inference_mode():
        expected, logits = tail(latents), pack_tails({"q": tail})["q"](latents)
    assert logits.shape == (pictures, 10)
    assert expected.std() > 0
    assert torch.allclose(logits, expected, atol=1e-5)


def test_what_is_no_number_stays_none() -> None:
    tail = Tail(ConvolutionalDecoder(), Classifier(10, (8,))).eval()
    with torch.inference_mode():
        logits = pack_tails({"q": tail})["q"](torch.full((1, 128, 5, 5), 3e38))
    assert logits.isnan().any()


def test_what_qualities_share_is_packed_once() -> None:
    first = Tail(ConvolutionalDecoder(), Classifier(10, (8,))).eval()
    second = Tail(ConvolutionalDecoder(), first.classifier).eval()
    packed = pack_tails({"paper": first, "int8": first, "q1": second})
    assert packed["paper"] is packed["int8"]
    assert packed["q1"].classifier is packed["int8"].classifier
    assert packed["q1"] is not packed["int8"]
