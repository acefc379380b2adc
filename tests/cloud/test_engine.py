"""The tails: which are loaded, in what precision, and what makes them warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from cloud.engine import Engine

if TYPE_CHECKING:
    import pytest

    from shared.bundle import Bundle


def test_each_tail_is_warmed_once_however_many_qualities_share_it(
    cloud_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine([cloud_bundle], "cpu")
    warmed: list[int] = []
    monkeypatch.setattr(engine, "tail", lambda fingerprint, _: warmed.append(fingerprint))
    engine.warm_up()
    fingerprints = [cloud_bundle.manifest.fingerprint(name) for name in cloud_bundle.manifest.qualities]
    groups = {engine.group(fingerprint) for fingerprint in fingerprints}
    assert len(groups) < len(fingerprints)
    assert len(warmed) == len(groups) == len(set(map(engine.group, warmed)))


def test_the_processor_computes_in_single_precision(cloud_bundle: Bundle) -> None:
    engine = Engine([cloud_bundle], "cpu")
    assert engine.precision == torch.float32
    loaded = engine.loaded(cloud_bundle.manifest.fingerprint("int8"))
    assert {parameter.dtype for parameter in loaded.tail.parameters()} == {torch.float32}


def test_half_precision_gives_nearly_the_same_answers_and_says_what_is_too_large(
    cloud_bundle: Bundle,
) -> None:
    fingerprint = cloud_bundle.manifest.fingerprint("paper")
    latents = np.random.default_rng(0).normal(scale=8, size=(16, 128, 5, 5)).astype(np.float32)
    engine = Engine([cloud_bundle], "cpu")
    single = engine.tail(fingerprint, latents)
    engine.precision = torch.float16  # as on CUDA
    engine.loaded(fingerprint).tail.to(torch.float16)
    half = engine.tail(fingerprint, latents)
    assert half.dtype == np.float32
    assert np.allclose(single, half, atol=2e-2)
    assert not np.isfinite(engine.tail(fingerprint, np.full_like(latents, 1e5))).all()
