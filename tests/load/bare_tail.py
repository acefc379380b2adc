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
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.codecs import codec_of
from splitwire.shared.codecs.float32 import Float32

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
    shape = (options.batch, *bundle.manifest.latent_shape)
    latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    runs = {
        "tail": _tail(bundle, options.quality, latents),
        "folded": _folded(bundle, options.quality, latents),
    }
    rates = {name: options.batch * _a_second(run, options.seconds) for name, run in runs.items()}
    json.dump(rates, sys.stdout)


def _tail(bundle: Bundle, quality: str, latents: NDArray[np.float32]) -> Callable[[], object]:
    as_they_are = Float32(bundle.manifest.latent_shape)
    widening, tail = pack_tails({quality: load_tails(bundle)[quality]}, {quality: as_they_are})[quality]

    @torch.inference_mode()
    def run() -> object:
        return torch.softmax(tail(widening(latents)), dim=1).numpy()

    return run


def _folded(bundle: Bundle, quality: str, latents: NDArray[np.float32]) -> Callable[[], object]:
    coder = codec_of(load_bundle(default_bundle_path(), "device"), quality)
    fingerprint = bundle.manifest.fingerprint(quality)
    frames = [Decoded(fingerprint=fingerprint, symbols=[coder.symbols(latent)]) for latent in latents]
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
