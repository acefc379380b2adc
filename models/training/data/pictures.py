"""Labelled pictures, wherever they come from, and how some of them are chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import AfterValidator

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.files import Files, Source, read
from splitwire.models.training.data.layouts import CIFAR10_FOLDER, Found, Split, find_files, tar_of
from splitwire.shared.errors import SettingsError
from splitwire.shared.pictures.loading import load_picture

CLASS_ORDER = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""CIFAR-10's classes in the original release's order, which is also the alphabet's."""

TEST_SHARE, TEST_SEED = 0.2, 0
"""What is kept for testing where there is no test folder; the same for every command."""


def check_amount(value: float) -> float:
    """Refuse what is no amount of pictures, with ValueError."""
    if value < 0 or (value >= 1 and value != int(value)):
        raise ValueError("give a count, or a share below 1")
    return value


Amount = Annotated[int | float, AfterValidator(check_amount)]
"""How many pictures: a count, or a share of them below 1."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Labelled pictures. Their files are read and decoded when asked for.

    ``side``: of every picture, pixels, where all are known to be squares of one size.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    files: Sequence[bytes] = field(repr=False)
    side: int | None = None

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.names)

    @property
    def sources(self) -> Sequence[Source]:
        """Where each picture's file is."""
        return self.files.sources if isinstance(self.files, Files) else self.files

    def image(self, index: int) -> Image.Image:
        """Decode one picture as RGB."""
        return load_picture(self.files[index], name=self.names[index])

    def subset(self, indices: NDArray[np.int64]) -> Pictures:
        """Keep the pictures at these indices, in this order."""
        names, sources = tuple(self.names[i] for i in indices), self.sources
        return Pictures(
            classes=self.classes,
            names=names,
            labels=self.labels[indices],
            files=Files(tuple(sources[i] for i in indices), names),
            side=self.side,
        )

    def digest(self) -> str:
        """SHA-256 over classes, labels and file bytes, in order; reads every file, once."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256(repr((self.classes, self.labels.tolist())).encode())
        for source, name in zip(self.sources, self.names, strict=True):
            data = read(source, name)
            sha.update(len(data).to_bytes(8, "little") + data)
        return sha.hexdigest()


def load_pictures(path: Path, split: Split) -> Pictures:
    """Find one part of a data set; see ``load_parts``."""
    return load_parts(path, (split,))[0][split]


def load_parts(
    path: Path, splits: tuple[Split, ...] = ("train", "test")
) -> tuple[dict[Split, Pictures], list[str]]:
    """Find parts of a data set, in one of the layouts of ``layouts.py`` or as torchvision keeps CIFAR-10.

    Where there is no test folder, a fifth of each class is the test part: the same one whenever the same files are there.

    Returns:
        The parts, and what is to be said of them.

    Raises:
        TrainingError: there is no such part, or it can't be used.

    """
    if (path / CIFAR10_FOLDER).is_dir():
        return {split: _original_release(path, split) for split in splits}, []
    layout = find_files(path)
    parts, notes = {split: _collect(found) for split, found in layout.parts.items()}, []
    if layout.unused:
        notes.append(f"not used, since they are neither train/ nor test/: {', '.join(layout.unused)}")
    if layout.others:
        notes.append(
            f"passed over, since no picture has such a name: {len(layout.others):,} files, as {layout.others[0]}"
        )
    if "train" in parts and "test" not in parts:
        everything = parts["train"]
        refuse_small(everything, 3, path, "one to train on, one to measure progress, one to test")
        chosen = stratified_sample(everything.labels, TEST_SHARE, TEST_SEED, path)
        rest = np.setdiff1d(np.arange(len(everything)), chosen)
        parts = {"train": everything.subset(rest), "test": everything.subset(chosen)}
        notes.append(
            f"no test folder: {len(chosen):,} of {len(everything):,} pictures, {TEST_SHARE:.0%} of each class, are kept for "
            f"testing, chosen by seed {TEST_SEED}; a folder test/ beside a folder train/ would choose others"
        )
    if missing := set(splits) - set(parts):
        raise TrainingError(f"{path} has no folder {missing.pop()}/ with a folder for each class")
    return {split: parts[split] for split in splits}, notes


def refuse_small(pictures: Pictures, least: int, path: Path, what: str) -> None:
    """Refuse classes that are too small to be divided, all at once."""
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    small = [f"{name} ({n})" for name, n in zip(pictures.classes, counts, strict=True) if n < least]
    if small:
        raise TrainingError(
            f"{path}: a class needs at least {least} pictures, {what}; add some, or remove the folder: {', '.join(small)}"
        )


def stratified_sample(
    labels: NDArray[np.int64], amount: float, seed: int, setting: object, *, leave: int = 0
) -> NDArray[np.int64]:
    """Choose pictures at random, of every class the same share, and at least one: indices, sorted.

    Args:
        labels: of all pictures.
        amount: how many to choose: a count, at most all, or a share below 1.
        seed: of the choice.
        setting: what to call the amount in errors.
        leave: how many of each class are not to be chosen.

    Raises:
        SettingsError: the amount is too small, or too large to leave so many.

    """
    classes, sizes = np.unique(labels, return_counts=True)
    wanted = amount if amount >= 1 else max(round(amount * len(labels)), len(classes))
    count = min(int(wanted), len(labels))
    # The k-th of a class's n pictures comes at (k + 1/2) / n, but the first of every class before all others.
    places = np.concatenate([np.r_[-1, (np.arange(1, size) + 0.5) / size] for size in sizes])
    taken = np.bincount(
        np.repeat(np.arange(len(classes)), sizes)[np.argsort(places, kind="stable")[:count]],
        minlength=len(classes),
    )
    if count < len(classes):
        raise SettingsError(
            f"{setting}={amount:g}: {count} is fewer than the {len(classes)} classes; give at least one each"
        )
    if (sizes - taken).min() < leave:
        raise SettingsError(
            f"{setting}={amount:g}: {count:,} of {len(labels):,} pictures would leave a class of {sizes.min()} with fewer "
            f"than {leave}; give fewer, or a share as 0.2"
        )
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(labels == label), each, replace=False)
        for label, each in zip(classes, taken, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _collect(found: Found) -> Pictures:
    classes = tuple(sorted(found))
    entries = [
        (label, *entry)
        for label, name in enumerate(classes)
        for entry in sorted(found[name], key=itemgetter(0))
    ]
    names = tuple(name for _, name, _ in entries)
    return Pictures(
        classes=classes,
        names=names,
        labels=np.array([label for label, _, _ in entries], dtype=np.int64),
        files=Files(tuple(source for _, _, source in entries), names),
    )


def _original_release(path: Path, split: Split) -> Pictures:
    from torchvision.datasets import CIFAR10  # noqa: PLC0415 - only this layout needs it

    try:
        data = CIFAR10(str(path), train=split == "train", download=False)
    except (RuntimeError, OSError) as exc:
        raise TrainingError(
            f"{path / CIFAR10_FOLDER} is incomplete or changed ({exc}); fetch it again"
        ) from exc
    names = tuple(f"{path}:{split}[{i}]" for i in range(len(data)))
    return Pictures(
        classes=tuple(data.classes),
        names=names,
        labels=np.array(data.targets, dtype=np.int64),
        files=Files(tuple(data.data), names),
    )


def is_cifar10(path: Path, classes: tuple[str, ...]) -> bool:
    """Tell whether a data set is CIFAR-10: in the original layout, or a tar file of that name."""
    if (path / CIFAR10_FOLDER).is_dir():
        return True
    archive = tar_of(path)
    name = archive.name.lower().replace("-", "") if archive else ""
    return name.startswith("cifar10") and classes == CLASS_ORDER
