"""The training pictures, wherever they come from.

Three layouts: the original release as torchvision keeps it (a folder with
``cifar-10-batches-py``), a folder a class (``train/<class>/*``, ``test/<class>/*``), or a tar
file of the latter.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from shared.errors import PictureError, TrainingError
from shared.picture import load_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

Split = Literal["train", "test"]

CLASS_ORDER = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""The original release's order, which is also the alphabet's."""

_ORIGINAL_FOLDER = "cifar-10-batches-py"
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Labelled pictures, kept as file bytes (decoded when asked for)."""

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    files: tuple[bytes, ...] = field(repr=False)

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.files)

    def image(self, index: int) -> Image.Image:
        """Decode one picture as RGB."""
        return load_picture(self.files[index], name=self.names[index])

    def subset(self, indices: NDArray[np.int64]) -> Pictures:
        """Keep the pictures at these indices, in this order."""
        return Pictures(
            classes=self.classes,
            names=tuple(self.names[i] for i in indices),
            labels=self.labels[indices],
            files=tuple(self.files[i] for i in indices),
        )

    def digest(self) -> str:
        """SHA-256 over classes, labels and file bytes, in order."""
        sha = hashlib.sha256(repr((self.classes, self.labels.tolist())).encode())
        for data in self.files:
            sha.update(len(data).to_bytes(8, "little") + data)
        return sha.hexdigest()

    def check_readable(self) -> None:
        """Decode every picture once, so that hours later none fails.

        Raises:
            TrainingError: names the first picture that can't be read.

        """
        for index in range(len(self)):
            try:
                self.image(index)
            except PictureError as exc:
                raise TrainingError(f"unreadable training picture: {exc}; remove or replace it") from exc


def load_pictures(path: Path, split: Split) -> Pictures:
    """Read one split of a data set.

    Raises:
        TrainingError: the path or the split is absent, or a class is empty.

    """
    if not path.exists():
        raise TrainingError(f"no data at {path}; give --data or SPLITWIRE_DATA the data set's place")
    if path.is_file():
        if not path.name.endswith(_TAR_SUFFIXES):
            raise TrainingError(f"{path} is neither a folder nor a {', '.join(_TAR_SUFFIXES)} file")
        return _collect(path, split, _tar_members(path, split))
    if (path / _ORIGINAL_FOLDER).is_dir():
        return _original_release(path, split)
    if (path / split).is_dir():
        return _collect(path, split, _folder_files(path / split))
    nested = [*path.glob(f"*/{split}"), *(p for s in _TAR_SUFFIXES for p in path.glob(f"*{s}"))]
    if len(nested) == 1:
        return load_pictures(nested[0] if nested[0].is_file() else nested[0].parent, split)
    raise TrainingError(
        f"{path} holds no data set: expected {_ORIGINAL_FOLDER}/, {split}/<class>/ or one tar file of that"
    )


def balanced_sample(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Choose ``count`` indices at random, the same number from every class, sorted.

    Raises:
        TrainingError: count is not a multiple of the number of classes, or a class is too small.

    """
    classes = np.unique(labels)
    each, rest = divmod(count, len(classes))
    smallest = int(np.bincount(labels)[classes].min())
    if count <= 0 or rest or each > smallest:
        raise TrainingError(
            f"can't take {count} pictures evenly from {len(classes)} classes of at least {smallest}; "
            f"use a multiple of {len(classes)} up to {smallest * len(classes)}"
        )
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(labels == label), each, replace=False) for label in classes]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _folder_files(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    for file in sorted(folder.glob("*/*")):
        if file.is_file() and not file.name.startswith("."):
            yield file.parent.name, str(file), file.read_bytes()
    for empty in sorted(p for p in folder.iterdir() if p.is_dir() and not any(p.iterdir())):
        raise TrainingError(f"class folder {empty} is empty; put pictures in it or remove it")


def _tar_members(path: Path, split: Split) -> Iterator[tuple[str, str, bytes]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if member.isfile() and len(parts) >= 3 and parts[-3] == split:
                    stream = archive.extractfile(member)
                    if stream is not None:
                        yield parts[-2], f"{path}:{member.name}", stream.read()
    except (tarfile.TarError, OSError, EOFError) as exc:
        raise TrainingError(f"{path} can't be read as a tar file ({exc}); fetch it again") from exc


def _collect(path: Path, split: Split, files: Iterator[tuple[str, str, bytes]]) -> Pictures:
    by_class: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for class_name, name, data in files:
        by_class[class_name].append((name, data))
    if len(by_class) < 2:
        raise TrainingError(f"{path} has {len(by_class)} classes under {split}/; at least 2 are needed")
    classes = _ordered(by_class)
    entries = [
        (label, *entry) for label, class_name in enumerate(classes) for entry in sorted(by_class[class_name])
    ]
    return Pictures(
        classes=classes,
        names=tuple(name for _, name, _ in entries),
        labels=np.array([label for label, _, _ in entries], dtype=np.int64),
        files=tuple(data for _, _, data in entries),
    )


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    return CLASS_ORDER if set(names) == set(CLASS_ORDER) else tuple(sorted(names))


def _original_release(path: Path, split: Split) -> Pictures:
    from torchvision.datasets import CIFAR10  # noqa: PLC0415 - only this layout needs it

    try:
        data = CIFAR10(str(path), train=split == "train", download=False)
    except RuntimeError as exc:
        raise TrainingError(
            f"{path / _ORIGINAL_FOLDER} is incomplete or changed ({exc}); fetch it again"
        ) from exc
    return Pictures(
        classes=tuple(data.classes),
        names=tuple(f"{path}:{split}[{i}]" for i in range(len(data))),
        labels=np.array(data.targets, dtype=np.int64),
        files=tuple(_as_png(pixels) for pixels in data.data),
    )


def _as_png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
