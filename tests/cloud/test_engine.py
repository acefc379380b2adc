"""The tails: which are loaded, in what precision, and what makes them warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from splitwire.cloud.inference.engine import Decoded, Engine
from splitwire.models.loading import load_tails
from splitwire.shared.frame import MAX_SHORT_BYTES, largest_frame, unpack
from tests.cloud.application import frame_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle
    from splitwire.shared.frame import Frame


def paper(bundle: Bundle, latents: NDArray[np.float32]) -> Decoded:
    """Latents [pictures, 128, 5, 5], not quantised."""
    return Decoded(fingerprint=bundle.manifest.fingerprint("paper"), symbols=list(latents))


def decoded(engine: Engine, frame: Frame) -> Decoded:
    return engine.loaded(frame.fingerprint).decode(frame)


def test_each_tail_is_warmed_once_however_many_qualities_share_it(
    cloud_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine([cloud_bundle], "cpu")
    warmed: list[int] = []
    monkeypatch.setattr(engine, "classify", lambda frames: warmed.extend(each.fingerprint for each in frames))
    engine.warm_up()
    fingerprints = [cloud_bundle.manifest.fingerprint(name) for name in cloud_bundle.manifest.qualities]
    groups = {engine.group(fingerprint) for fingerprint in fingerprints}
    assert len(groups) < len(fingerprints)
    assert len(warmed) == len(groups) == len(set(map(engine.group, warmed)))


def test_a_frame_may_be_as_long_as_the_largest_latent_makes_it_and_any_of_version_1(
    cloud_bundle: Bundle,
) -> None:
    engine = Engine([cloud_bundle], "cpu")
    assert engine.longest_frame() == largest_frame(MAX_SHORT_BYTES)
    engine.loaded(cloud_bundle.manifest.fingerprint("int8")).codec.latent_shape = (512, 5, 5)
    assert engine.longest_frame() == largest_frame(51_200) > 64 * 51_200


def test_the_processor_computes_in_single_precision(cloud_bundle: Bundle) -> None:
    latents = np.random.default_rng(0).normal(scale=8, size=(16, 128, 5, 5)).astype(np.float32)
    engine = Engine([cloud_bundle], "cpu")
    assert engine.precision == torch.float32
    with torch.inference_mode():
        logits = load_tails(cloud_bundle)["paper"](torch.from_numpy(latents))
    probabilities = engine.classify([paper(cloud_bundle, latents)])
    assert np.allclose(probabilities, torch.softmax(logits, dim=1).numpy(), atol=1e-6)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_every_quality_is_answered_with_what_its_codec_and_tail_say(
    cloud_bundle: Bundle, device_bundle: Bundle, precision: torch.dtype
) -> None:
    """In single precision the tails are packed, in double they are not."""
    rng = np.random.default_rng(0)
    engine = Engine([cloud_bundle], "cpu", precision)
    for quality, tail in load_tails(cloud_bundle).items():
        codec = cloud_bundle.codec(quality)
        latents = rng.normal(scale=8, size=(8, *codec.latent_shape)).astype(np.float32)
        frame = unpack(frame_of(device_bundle, list(latents), quality))
        symbols = np.stack([codec.decode(payload) for payload in frame.payloads])
        with torch.inference_mode():
            expected = torch.softmax(tail(torch.from_numpy(codec.dequantise(symbols))), dim=1).numpy()
        assert np.allclose(engine.classify([decoded(engine, frame)]), expected, atol=1e-4), quality


def test_frames_of_several_qualities_share_a_batch_and_keep_their_order(
    cloud_bundle: Bundle, device_bundle: Bundle
) -> None:
    rng = np.random.default_rng(0)
    latents = [rng.normal(scale=8, size=(128, 5, 5)).astype(np.float32) for _ in range(5)]
    engine = Engine([cloud_bundle], "cpu")
    frames = [
        decoded(engine, unpack(frame_of(device_bundle, some, quality)))
        for some, quality in ((latents[:1], "int8"), (latents[1:4], "paper"), (latents[4:], "int8"))
    ]
    together = engine.classify(frames)
    apart = np.concatenate([engine.classify([frame]) for frame in frames])
    assert np.allclose(together, apart, atol=1e-6)
    assert len(np.unique(together.argmax(axis=1))) > 1


def test_half_precision_gives_nearly_the_same_answers_and_says_what_is_too_large(
    cloud_bundle: Bundle,
) -> None:
    latents = np.random.default_rng(0).normal(scale=8, size=(16, 128, 5, 5)).astype(np.float32)
    single = Engine([cloud_bundle], "cpu").classify([paper(cloud_bundle, latents)])
    engine = Engine([cloud_bundle], "cpu", torch.float16)  # as on CUDA
    half = engine.classify([paper(cloud_bundle, latents)])
    assert half.dtype == np.float32
    assert np.allclose(single, half, atol=2e-2)
    large = paper(cloud_bundle, np.full_like(latents, 1e5))
    assert not np.isfinite(engine.classify([large])).all()
