"""Whether ncnn and torch lead to the same answers: ``make heads``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from splitwire.edge.compute.head import open_head
from splitwire.models.loading import load_tails
from splitwire.models.training.data.pictures import load_pictures, stratified_sample
from splitwire.models.training.fitting.progress import stage_progress
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.evaluation import share
from splitwire.shared.pictures.loading import prepare


def main() -> None:
    """Print for ncnn, with and without tables, by quality, the share of answers that are torch's; fail under 99.5 %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SPLITWIRE_DATA"))
    parser.add_argument("--limit", type=int, default=1000)
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data set with --data or SPLITWIRE_DATA")
    pictures = load_pictures(Path(options.data), "test")
    chosen = stratified_sample(pictures.labels, options.limit, seed=0, setting="count")
    device, cloud = (load_bundle(default_bundle_path(), role) for role in ("device", "cloud"))
    outputs = device.graph().outputs
    reference = open_head("torch", device, outputs)
    heads = {
        "ncnn": open_head("ncnn", device, outputs),
        "ncnn, low memory": open_head("ncnn", device, outputs, low_memory=True),
    }
    tails = load_tails(cloud)
    codecs = {name: cloud.codec(name) for name in device.manifest.qualities}
    same = {head: dict.fromkeys(codecs, 0) for head in heads}
    with stage_progress() as progress, torch.inference_mode():
        task = progress.add_task("ncnn against torch", total=len(chosen), note="")
        for index in chosen:
            picture = prepare(pictures.image(int(index)), device.manifest.preparation)
            made = [reference(picture), *(head(picture) for head in heads.values())]
            for name, codec in codecs.items():
                output = device.quality(name).output
                symbols = np.stack([codec.quantise(each[output]) for each in made])
                expected, *answers = (
                    tails[name](torch.from_numpy(codec.dequantise(symbols))).argmax(1).tolist()
                )
                for head, answer in zip(heads, answers, strict=True):
                    same[head][name] += answer == expected
            progress.update(task, advance=1)
    shares = {
        head: {name: share(count, len(chosen)).model_dump() for name, count in counts.items()}
        for head, counts in same.items()
    }
    json.dump(shares, sys.stdout, indent=2)
    sys.stdout.write("\n")
    sys.exit(min(each["value"] for counts in shares.values() for each in counts.values()) < 0.995)


if __name__ == "__main__":
    main()
