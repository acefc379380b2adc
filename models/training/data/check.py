"""What is wrong with a data set is said before anything is computed from it, all at once; the rest is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.decoding import in_parallel, look, workers
from splitwire.models.training.data.pictures import Pictures, load_parts, refuse_small, stratified_sample
from splitwire.models.training.fitting.progress import CONSOLE, stage_progress
from splitwire.shared.errors import shown

if TYPE_CHECKING:
    from splitwire.models.training.stages.stage import DataSettings

FEW = 10
"""Fewer training pictures of a class are said to be few."""
_HELD_OUT, _HELD_OUT_SHARE = 2500, 0.2


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Pictures to train on, to measure progress on, and to test what has come of it."""

    training: Pictures
    held_out: Pictures
    test: Pictures


def open_data(path: Path, settings: DataSettings) -> DataSet:
    """Find, divide and check a data set.

    Raises:
        TrainingError: it can't be used; what else is wrong with it was said before.
        SettingsError: it can't be divided so.

    """
    loaded, notes = load_parts(path)
    training, test = loaded["train"], loaded["test"]
    if training.classes != test.classes:
        only = [
            f"only {split}/ has {', '.join(sorted(names))}"
            for split, names in (
                ("train", set(training.classes) - set(test.classes)),
                ("test", set(test.classes) - set(training.classes)),
            )
            if names
        ]
        raise TrainingError(
            f"{path}: the classes to train and to test differ: {'; '.join(only)}; give both the same folders"
        )
    refuse_small(training, 2, path, "one to train on, one to measure progress")
    labels = training.labels
    wanted = settings.held_out or min(_HELD_OUT, round(_HELD_OUT_SHARE * len(labels)))
    held_out = stratified_sample(labels, wanted, settings.seed, "data.held_out", leave=1)
    rest = np.setdiff1d(np.arange(len(labels)), held_out)
    if settings.pictures:
        rest = rest[stratified_sample(labels[rest], settings.pictures, settings.seed, "data.pictures")]
    for note in notes:
        say(note)
    parts = check({"test": test, "held-out": training.subset(held_out), "training": training.subset(rest)})
    data = DataSet(training=parts["training"], held_out=parts["held-out"], test=parts["test"])
    say(
        f"pictures of {len(test.classes)} classes: {len(data.training):,} to train on, {len(data.held_out):,} held out to "
        f"measure progress, {len(data.test):,} to test"
    )
    return data


def check(parts: Mapping[str, Pictures]) -> dict[str, Pictures]:
    """Decode every picture, say which can't be used, and leave these out.

    Args:
        parts: by name. A picture that is in several of them stays in the first; one that is in several classes, in one.

    Raises:
        TrainingError: nothing is left of a class.

    """
    unreadable, twice, in_two_classes = list[str](), list[str](), list[str]()
    seen: dict[bytes, tuple[str, int, str]] = {}
    sizes: set[tuple[int, int]] = set()
    kept: dict[str, list[int]] = {part: [] for part in parts}
    count = sum(map(len, parts.values()))
    with stage_progress(transient=True) as progress, workers(count) as executor:
        task = progress.add_task("looking at the pictures", total=count, note="")
        for part, pictures in parts.items():
            looks = in_parallel(executor, look, pictures.sources, pictures.names)
            for index, (found, name) in enumerate(zip(looks, pictures.names, strict=True)):
                progress.update(task, advance=1)
                if isinstance(found, str):
                    unreadable.append(f"{name}: {found}")
                    continue
                label = int(pictures.labels[index])
                first_part, first_label, first_name = seen.setdefault(found.digest, (part, label, name))
                if first_label != label:
                    in_two_classes.append(f"{name} is {first_name}")
                elif first_part != part:
                    twice.append(f"{name} ({part}) is {first_name} ({first_part})")
                else:
                    kept[part].append(index)
                    sizes.add(found.size)
    _say_all("pictures that can't be read, left out", unreadable, "mend, replace or remove them")
    _say_all(
        "pictures of the test or held-out part, left out of the training", twice, "remove one of each two"
    )
    _say_all(
        "pictures in two classes, left out of the second", in_two_classes, "remove each where it is wrong"
    )
    width, height = sizes.pop() if len(sizes) == 1 else (0, 1)
    left = {
        part: replace(
            pictures.subset(np.array(kept[part], dtype=np.int64)), side=width if width == height else None
        )
        for part, pictures in parts.items()
    }
    _check_counts(left)
    return left


def _check_counts(parts: Mapping[str, Pictures]) -> None:
    few, none = list[str](), list[str]()
    for part, pictures in parts.items():
        counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
        for name, n in zip(pictures.classes, counts, strict=True):
            if n == 0 and part != "held-out":
                none.append(f"{name} ({part})")
            elif n < FEW and part == "training":
                few.append(f"{name}: {n}")
    _say_all(
        f"classes of fewer than {FEW} pictures to learn from", few, "add some, or remove the class's folder"
    )
    if none:
        raise TrainingError(
            f"no picture is left of {', '.join(none)}; put pictures there that can be read, or remove the class's folder"
        )


def _say_all(what: str, lines: Sequence[str], remedy: str) -> None:
    if lines:
        say(f"{what} ({len(lines):,}); {remedy}:")
        for line in lines:
            say(f"  {line}")


def say(line: str) -> None:
    """Print a line on standard error, as it is."""
    CONSOLE.print(shown(line), markup=False, highlight=False, soft_wrap=True)
