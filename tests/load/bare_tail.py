"""The forward pass alone, without a server: pictures a second at one batch size, as a number on standard output."""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from cloud.engine import Decoded, Engine
from shared.bundle import default_bundle_path, load_bundle
from shared.codecs import codec_of


def main() -> None:
    """Run batches for so many seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quality")
    parser.add_argument("batch", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    bundle = load_bundle(default_bundle_path(), "cloud")
    engine = Engine([bundle], "cpu")
    fingerprint = bundle.manifest.fingerprint(options.quality)
    latents = np.random.default_rng(0).normal(size=(options.batch, *bundle.manifest.latent_shape))
    coder = codec_of(load_bundle(default_bundle_path(), "device"), options.quality)
    frames = [
        Decoded(fingerprint=fingerprint, symbols=[coder.symbols(latent)])
        for latent in latents.astype(np.float32)
    ]
    engine.classify(frames)
    batches, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < options.seconds:
        engine.classify(frames)
        batches += 1
    sys.stdout.write(f"{batches * options.batch / spent}\n")


if __name__ == "__main__":
    main()
