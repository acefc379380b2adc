"""The packed tail is the tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from splitwire.models.autoencoder import LATENT_SHAPE, ConvolutionalDecoder
from splitwire.models.packed import FoldedWidening, can_pack, pack_tails
from splitwire.models.split import Tail
from splitwire.models.vgg16 import Classifier
from splitwire.shared.codecs import arithmetic
from splitwire.shared.codecs.factorised import Factorised
from splitwire.shared.codecs.float32 import Float32
from splitwire.shared.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from splitwire.shared.codecs.abc import Codec

pytestmark = pytest.mark.skipif(not can_pack(), reason="no oneDNN here")

FLOAT32 = Float32(LATENT_SHAPE)


def learned(*sizes: int) -> Factorised:
    """A codec whose synthesis has layers between so many numbers and a latent's."""
    rng = np.random.default_rng(0)
    layers = [
        Layer(
            weight=rng.normal(size=(outputs, inputs)).astype(np.float32),
            bias=rng.normal(size=outputs).astype(np.float32),
        )
        for inputs, outputs in zip(sizes, [*sizes[1:], 128 * 5 * 5], strict=True)
    ]
    tables = [arithmetic.Table([arithmetic.TOTAL])] * sizes[0]
    smallest = np.zeros(sizes[0], dtype=np.int64)
    return Factorised(LATENT_SHAPE, smallest=smallest, tables=tables, analysis=None, synthesis=layers)


def packed_logits(tail: Tail, codec: Codec, symbols: NDArray[np.generic]) -> Tensor:
    with torch.inference_mode():
        widening, packed = pack_tails({"q": tail}, {"q": codec})["q"]
        return packed(widening(symbols))


@pytest.mark.parametrize("hidden", [(), (16,), (32, 8)])
@pytest.mark.parametrize("pictures", [1, 3])
def test_it_gives_the_same_logits(hidden: tuple[int, ...], pictures: int) -> None:
    torch.manual_seed(0)
    tail = Tail(ConvolutionalDecoder(), Classifier(10, hidden)).eval()
    latents = torch.randn(pictures, *LATENT_SHAPE)
    with torch.inference_mode():
        expected = tail(latents)
    logits = packed_logits(tail, FLOAT32, latents.numpy())
    assert logits.shape == (pictures, 10)
    assert expected.std() > 0
    assert torch.allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [(24,), (24, 16), (24, 16, 32)])
@pytest.mark.parametrize("pictures", [1, 3])
def test_a_learned_codecs_last_layer_is_folded_into_it(sizes: tuple[int, ...], pictures: int) -> None:
    torch.manual_seed(0)
    tail, codec = Tail(ConvolutionalDecoder(), Classifier(10, (16,))).eval(), learned(*sizes)
    symbols = np.random.default_rng(1).integers(-3, 4, size=(pictures, sizes[0]))
    with torch.inference_mode():
        expected = tail(torch.from_numpy(codec.restore(symbols)))
    assert isinstance(pack_tails({"q": tail}, {"q": codec})["q"].widening, FoldedWidening)
    logits = packed_logits(tail, codec, symbols)
    assert expected.std() > 0
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_what_is_no_number_stays_none() -> None:
    tail = Tail(ConvolutionalDecoder(), Classifier(10, (8,))).eval()
    logits = packed_logits(tail, FLOAT32, np.full((1, *LATENT_SHAPE), 3e38, dtype=np.float32))
    assert logits.isnan().any()


def test_what_qualities_share_is_packed_once() -> None:
    first = Tail(ConvolutionalDecoder(), Classifier(10, (8,))).eval()
    second = Tail(ConvolutionalDecoder(), first.classifier).eval()
    tails = {"paper": first, "int8": first, "q1": second}
    packed = {name: each.tail for name, each in pack_tails(tails, dict.fromkeys(tails, FLOAT32)).items()}
    assert packed["paper"] is packed["int8"]
    assert packed["q1"].classifier is packed["int8"].classifier
    assert packed["q1"] is not packed["int8"]
