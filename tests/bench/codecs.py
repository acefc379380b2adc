"""Times of every quality's codec on real latents, beside zlib and zstd: ``make bench``.

One core, one picture at a time; encode is latent to frame, decode is frame to latent.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import zstandard

from splitwire.models.training.data.pictures import load_pictures, stratified_sample
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.codecs.int8 import Int8
from splitwire.shared.frame import Frame, pack, unpack
from splitwire.shared.graph.running import Outputs, Runner
from splitwire.shared.pictures.loading import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle
    from splitwire.shared.codecs.abc import Codec

PICTURES = 200
Times = dict[str, float]


def latents(device: Bundle) -> dict[str, NDArray[np.float32]]:
    """What the device's graph makes of test pictures, by output: [PICTURES, *shape]."""
    pictures = load_pictures(Path(os.environ["SPLITWIRE_DATA"]), "test")
    graph = device.graph()
    run, made = Runner(graph), list[Outputs]()
    for index in stratified_sample(pictures.labels, PICTURES, seed=0, setting="count"):
        outputs = run(prepare(pictures.image(int(index)), device.manifest.preparation))
        for name in graph.outputs:
            outputs[name]
        made.append(outputs)
    return {name: np.stack([outputs[name] for outputs in made]) for name in graph.outputs}


def timed(
    encode: Callable[[NDArray[np.float32]], bytes],
    decode: Callable[[bytes], object],
    latents: NDArray[np.float32],
) -> Times:
    """Median milliseconds a picture each way, and mean bytes."""
    encoding, decoding, sizes = [], [], []
    for latent in latents:
        start = time.perf_counter()
        data = encode(latent)
        middle = time.perf_counter()
        decode(data)
        encoding.append(middle - start)
        decoding.append(time.perf_counter() - middle)
        sizes.append(len(data))
    return {
        "encode_ms": 1e3 * statistics.median(encoding),
        "decode_ms": 1e3 * statistics.median(decoding),
        "bytes": statistics.mean(sizes),
    }


def measure() -> dict[str, Times]:
    """Time every quality of the shipped bundle, then general compressors on what int8 makes."""
    device = load_bundle(default_bundle_path(), "device")
    made, results = latents(device), {}
    for name, quality in device.manifest.qualities.items():
        some, codec = made[quality.output], device.codec(name)
        results[name] = timed(_to_frame(codec), _from_frame(codec), some)
        if isinstance(codec, Int8):
            zstd, unzstd = zstandard.ZstdCompressor(19).compress, zstandard.ZstdDecompressor().decompress
            results["zlib -9 of int8"] = timed(
                lambda latent: zlib.compress(codec.encode(codec.quantise(latent)), 9),  # noqa: B023 - used at once
                lambda data: codec.dequantise(codec.decode(zlib.decompress(data))),  # noqa: B023
                some,
            )
            results["zstd -19 of int8"] = timed(
                lambda latent: zstd(codec.encode(codec.quantise(latent))),  # noqa: B023
                lambda data: codec.dequantise(codec.decode(unzstd(data))),  # noqa: B023
                some,
            )
    return results


def _to_frame(codec: Codec) -> Callable[[NDArray[np.float32]], bytes]:
    def to_frame(latent: NDArray[np.float32]) -> bytes:
        return pack(Frame(fingerprint=0, quality=0, payloads=(codec.encode(codec.quantise(latent)),)))

    return to_frame


def _from_frame(codec: Codec) -> Callable[[bytes], NDArray[np.float32]]:
    return lambda data: codec.dequantise(codec.decode(unpack(data).payloads[0]))


def main() -> None:
    """Print the times, or with --json write them as JSON."""
    if "SPLITWIRE_DATA" not in os.environ:
        sys.exit("set SPLITWIRE_DATA to the data set whose latents are to be timed")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    measured = measure()
    if "--json" in sys.argv:
        json.dump(measured, sys.stdout, indent=2)
        return
    sys.stdout.writelines(
        f"{name:18} encode {times['encode_ms']:7.3f} ms   decode {times['decode_ms']:7.3f} ms"
        f"   {times['bytes']:9,.1f} bytes\n"
        for name, times in measured.items()
    )


if __name__ == "__main__":
    main()
