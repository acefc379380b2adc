"""The forward pass alone, without a server, at one batch size: pictures a second as JSON on standard output.

``tail``: decoder and classifier, from latents. ``folded``: as the server runs them, from the codec's symbols.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from splitwire.cloud.inference.engine import Decoded, Engine
from splitwire.models.loading import load_tails
from splitwire.models.packed import pack_tails
from splitwire.models.tail import Tail
from splitwire.shared.bundle import default_bundle_path, load_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle


def main() -> None:
    """Run batches of both for so many seconds each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quality")
    parser.add_argument("batch", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    bundle = load_bundle(default_bundle_path(), "cloud")
    runs = {
        "tail": _tail(bundle, options.quality, _latents(options.batch, bundle.manifest.latent_shape)),
        "folded": _folded(bundle, options.quality, options.batch),
    }
    rates = {name: options.batch * _a_second(run, options.seconds) for name, run in runs.items()}
    json.dump(rates, sys.stdout)


def _latents(pictures: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(pictures, *shape)).astype(np.float32)


def _tail(bundle: Bundle, quality: str, latents: NDArray[np.float32]) -> Callable[[], object]:
    loaded = load_tails(bundle)[quality]
    tail = pack_tails({quality: Tail(loaded.decoder, loaded.classifier)})[quality]

    @torch.inference_mode()
    def run() -> object:
        return torch.softmax(tail(torch.from_numpy(latents)), dim=1).numpy()

    return run


def _folded(bundle: Bundle, quality: str, pictures: int) -> Callable[[], object]:
    codec, fingerprint = bundle.codec(quality), bundle.manifest.fingerprint(quality)
    frames = [
        Decoded(fingerprint=fingerprint, symbols=[codec.quantise(latent)])
        for latent in _latents(pictures, codec.latent_shape)
    ]
    engine = Engine([bundle], "cpu")
    return lambda: engine.classify(frames)


def _a_second(run: Callable[[], object], seconds: float) -> float:
    run()
    batches, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        run()
        batches += 1
    return batches / spent


if __name__ == "__main__":
    main()
