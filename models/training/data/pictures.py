"""The training pictures, wherever they come from.

Three layouts: the original release as torchvision keeps it (a folder with
``cifar-10-batches-py``), a folder a class (``train/<class>/*``, ``test/<class>/*``), or a tar
file of the latter.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitwire.models.errors import TrainingError
from splitwire.shared.errors import PictureError
from splitwire.shared.pictures.loading import load_picture

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
        """Decode every picture once, so that hours later none fails."""
        for index in range(len(self)):
            try:
                self.image(index)
            except PictureError as exc:
                raise TrainingError(f"unreadable picture: {exc}; remove or replace it") from exc


def load_pictures(path: Path, split: Split) -> Pictures:
    """Read one split of a data set."""
    try:
        return _load(path, split)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as exc:
        raise TrainingError(f"{path} can't be read ({exc}); fetch it again") from exc


def _load(path: Path, split: Split) -> Pictures:
    if not path.exists():
        raise TrainingError(f"no data at {path}; give --data or SPLITWIRE_DATA the data set's place")
    if path.is_file():
        if not path.name.endswith(_TAR_SUFFIXES):
            raise TrainingError(f"{path} is neither a folder nor a {', '.join(_TAR_SUFFIXES)} file")
        return _collect(path, split, _in_tar(path, split))
    if (path / _ORIGINAL_FOLDER).is_dir():
        return _original_release(path, split)
    if (path / split).is_dir():
        return _collect(path, split, _in_folder(path / split))
    nested = [*path.glob(f"*/{split}"), *(p for s in _TAR_SUFFIXES for p in path.glob(f"*{s}"))]
    if len(nested) == 1:
        return _load(nested[0] if nested[0].is_file() else nested[0].parent, split)
    raise TrainingError(
        f"{path} holds no data set: expected {_ORIGINAL_FOLDER}/, {split}/<class>/ or one tar file of that"
    )


def balanced_sample(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Choose ``count`` indices at random, the same number from every class, sorted."""
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


_Found = dict[str, list[tuple[str, bytes]]]
"""Class -> name and bytes of each of its pictures."""


def _in_folder(folder: Path) -> _Found:
    return {
        place.name: [
            (str(file), file.read_bytes())
            for file in place.iterdir()
            if file.is_file() and not file.name.startswith(".")
        ]
        for place in folder.iterdir()
        if place.is_dir()
    }


def _in_tar(path: Path, split: Split) -> _Found:
    found: _Found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            parts = PurePosixPath(member.name).parts
            if member.isdir() and parts[-2:-1] == (split,):
                found.setdefault(parts[-1], [])
            elif member.isfile() and parts[-3:-2] == (split,) and not parts[-1].startswith("."):
                stream = archive.extractfile(member)
                data = stream.read() if stream else b""
                found.setdefault(parts[-2], []).append((f"{path}:{member.name}", data))
        # A damaged header ends the iteration without an error; a good end is zeros and nothing else.
        if archive.fileobj is not None:
            archive.fileobj.seek(archive.offset)
            rest = archive.fileobj.read(-1)
            if not rest or rest.strip(b"\0"):
                raise tarfile.ReadError("it is cut short or has a damaged header")
    return found


def _collect(path: Path, split: Split, found: _Found) -> Pictures:
    empty = sorted(name for name, files in found.items() if not files)
    if empty:
        raise TrainingError(f"{path}: {split} class {empty[0]} is empty; put pictures in it or remove it")
    if len(found) < 2:
        raise TrainingError(f"{path} has {len(found)} classes under {split}/; at least 2 are needed")
    classes = tuple(sorted(found))
    entries = [(label, *entry) for label, name in enumerate(classes) for entry in sorted(found[name])]
    return Pictures(
        classes=classes,
        names=tuple(name for _, name, _ in entries),
        labels=np.array([label for label, _, _ in entries], dtype=np.int64),
        files=tuple(data for _, _, data in entries),
    )


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
        files=tuple(as_png(pixels) for pixels in data.data),
    )


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """Write pixels [height, width, 3] as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
