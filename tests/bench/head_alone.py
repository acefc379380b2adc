"""The head on ncnn in a process that does nothing else: mean milliseconds a picture, on standard output."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from splitwire.edge.compute.head import open_head
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.pictures.loading import load_picture, prepare


def main() -> None:
    """Run it once on every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    bundle = load_bundle(default_bundle_path(), "device")
    pictures = [
        prepare(load_picture(path), bundle.manifest.preparation) for path in parser.parse_args().pictures
    ]
    output = bundle.quality(bundle.manifest.default_quality).output
    head = open_head("ncnn", bundle, [output])
    with threadpool_limits(limits=1, user_api="blas"):
        head(pictures[0])[output]
        started = time.perf_counter()
        for picture in pictures:
            head(picture)[output]
    sys.stdout.write(f"{1e3 * (time.perf_counter() - started) / len(pictures)}\n")


if __name__ == "__main__":
    main()
