"""Whether ncnn and torch lead to the same answers: ``make heads``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from edge.encoder import Encoder
from edge.ncnn_head import NcnnHead
from edge.torch_head import TorchHead
from models.loading import load_tails
from models.training.data import balanced_sample, load_pictures
from models.training.progress import stage_progress
from shared.bundle import default_bundle_path, load_bundle
from shared.codecs import codec_of
from shared.evaluation import share
from shared.picture import prepare


def main() -> None:
    """Print, for every quality, the share of pictures with the same answer as JSON; fail under 99.5 %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SPLITWIRE_DATA"))
    parser.add_argument("--limit", type=int, default=1000)
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data set with --data or SPLITWIRE_DATA")
    pictures = load_pictures(Path(options.data), "test")
    chosen = balanced_sample(pictures.labels, options.limit, seed=0)
    device, cloud = (load_bundle(default_bundle_path(), role) for role in ("device", "cloud"))
    heads = (NcnnHead(device), TorchHead(device))
    tails = load_tails(cloud)
    coders = {
        name: (Encoder(device, name), codec_of(device, name), codec_of(cloud, name))
        for name in device.manifest.qualities
    }
    same = dict.fromkeys(coders, 0)
    with stage_progress() as progress, torch.inference_mode():
        task = progress.add_task("ncnn against torch", total=len(chosen), note="")
        for index in chosen:
            picture = prepare(pictures.image(int(index)), device.manifest.preparation)
            features = [head(picture) for head in heads]
            for name, (encoder, encoding, decoding) in coders.items():
                latents = np.stack([decoding.decode(encoding.encode(encoder(each))) for each in features])
                one, other = tails[name](torch.from_numpy(latents)).argmax(1).tolist()
                same[name] += one == other
            progress.update(task, advance=1)
    shares = {name: share(count, len(chosen)) for name, count in same.items()}
    json.dump({name: each.model_dump() for name, each in shares.items()}, sys.stdout, indent=2)
    sys.exit(min(each.value for each in shares.values()) < 0.995)


if __name__ == "__main__":
    main()
