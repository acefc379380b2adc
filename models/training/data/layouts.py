"""The layouts of a data set: which files are there, of which part and class.

    DIR/<class>/*                                  a folder a class
    DIR/train/<class>/*   DIR/test/<class>/*       two parts; where there is no test/, val/ or validation/ will do
    a tar file of either, or a folder with one such file in it

All files below a class's folder are the class's, but for those that no picture is named as (``may_be_picture``), and those
whose name, or folder's name, begins with a dot.
"""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import tarfile
import tempfile
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from splitwire.models.errors import TrainingError
from splitwire.models.training.data.files import Archive, Member, Source
from splitwire.shared.pictures.names import may_be_picture

Split = Literal["train", "test"]
Found = dict[str, list[tuple[str, Source]]]
"""Class -> name and place of each of its files."""

CIFAR10_FOLDER = "cifar-10-batches-py"
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_TEST_NAMES = ("test", "val", "valid", "validation")
_NO_CLASSES = ("__MACOSX",)
_DEEPEST = 8
_END_BYTES = 1 << 20
_LONGEST_NAME = 200
"""As a bundle's manifest takes it."""


@dataclass
class _Folder:
    """A folder's subfolders by name, and its files: a tar file may have several of one name."""

    folders: dict[str, _Folder] = field(default_factory=dict)
    files: list[tuple[str, Source]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files by part: of ``train`` and ``test``, or of one of them.

    A folder a class without parts is ``train`` alone. ``unused``: names of folders beside the parts. ``others``: files
    of classes that are no pictures by their names.
    """

    parts: dict[Split, Found]
    unused: tuple[str, ...]
    others: tuple[str, ...]


def find_files(path: Path) -> Layout:
    """Find a data set's files.

    Raises:
        TrainingError: there is none, or it can't be read.

    """
    archive = tar_of(path)
    try:
        root = _in_tar(archive) if archive else _in_folder(path)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as exc:
        if isinstance(exc, OSError) and exc.errno == errno.ENOSPC:
            raise TrainingError(
                f"no room to unpack {archive} in {tempfile.gettempdir()}; set TMPDIR to a folder with more, or unpack it "
                "yourself and give that folder to --data"
            ) from exc
        raise TrainingError(f"{path} can't be read ({exc}); fetch it again") from exc
    return _layout(path, root)


def tar_of(path: Path) -> Path | None:
    """Find the tar file that a path names, or that is alone in a folder; None: the folder itself is the data set.

    Raises:
        TrainingError: there is neither.

    """
    if not path.exists():
        raise TrainingError(f"no data at {path}; give --data or SPLITWIRE_DATA the data set's place")
    if path.is_file():
        if not path.name.endswith(TAR_SUFFIXES):
            raise TrainingError(f"{path} is neither a folder nor a {', '.join(TAR_SUFFIXES)} file")
        return path
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    archives = [entry for entry in entries if entry.name.endswith(TAR_SUFFIXES)]
    return archives[0] if len(archives) == 1 and not any(entry.is_dir() for entry in entries) else None


def _in_folder(place: Path, depth: int = 0) -> _Folder:
    folder = _Folder()
    with os.scandir(place) as entries:
        for entry in entries:
            if _passed_over(entry.name):
                continue
            if entry.is_file():
                folder.files.append((entry.path, entry.path))
            elif entry.is_dir() and depth < _DEEPEST:
                folder.folders[entry.name] = _in_folder(Path(entry.path), depth + 1)
    return folder


def _in_tar(path: Path) -> _Folder:
    """List a tar file. What is compressed is unpacked first: its members can't be read one by one."""
    root = _Folder()
    with ExitStack() as stack:
        unpacked = None
        try:
            archive, place = stack.enter_context(tarfile.open(path, "r:")), Archive(path)
        except tarfile.ReadError:
            archive = stack.enter_context(tarfile.open(path))
            handle, name = tempfile.mkstemp(prefix="splitwire-", suffix=".unpacked")
            unpacked, place = (
                stack.enter_context(os.fdopen(handle, "wb")),
                Archive(Path(name), temporary=True),
            )
        for member in archive:
            parts = PurePosixPath(member.name).parts
            if any(map(_passed_over, parts)) or not (member.isdir() or member.isfile()):
                continue
            folder = root
            for part in parts if member.isdir() else parts[:-1]:
                folder = folder.folders.setdefault(part, _Folder())
            if stream := archive.extractfile(member):
                offset = member.offset_data
                if unpacked:
                    offset = unpacked.tell()
                    shutil.copyfileobj(stream, unpacked)
                folder.files.append((f"{path}:{member.name}", Member(place, offset, member.size)))
        # A damaged header ends the iteration without an error; a good end is zeros and nothing else.
        if archive.fileobj is not None:
            archive.fileobj.seek(archive.offset)
            rest = archive.fileobj.read(_END_BYTES)
            if not rest or rest.strip(b"\0"):
                raise tarfile.ReadError("it is cut short or has a damaged header")
    return root


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in _NO_CLASSES


def _layout(path: Path, root: _Folder) -> Layout:
    """Find the folder that has the parts, or the classes, however deep it lies alone."""
    parts, below = _parts(root), list(root.folders.values())
    if not (parts or below):
        raise TrainingError(
            f"{path} holds no data set: expected a folder for each class, or train/ and test/ with such folders, or one "
            f"tar file of that, or {CIFAR10_FOLDER}/"
        )
    if not parts:
        with_parts = [folder for folder in below if _parts(folder)]
        if len(with_parts) == 1:
            return _layout(path, with_parts[0])
        if len(below) == 1 and below[0].folders:
            return _layout(path, below[0])
    used = [id(part) for part in parts.values()]
    unused = [name for name, folder in root.folders.items() if parts and id(folder) not in used]
    others: list[str] = []
    found = {split: _classes(path, split, part, others) for split, part in (parts or {"train": root}).items()}
    return Layout(parts=found, unused=tuple(sorted(unused)), others=tuple(sorted(others)))


def _parts(folder: _Folder) -> dict[Split, _Folder]:
    """Find train and test; they have folders: a ``train`` with pictures is a class."""
    folders = {name.lower(): below for name, below in folder.folders.items() if below.folders}
    parts: dict[Split, _Folder] = {}
    if "train" in folders:
        parts["train"] = folders["train"]
    test = next((name for name in _TEST_NAMES if name in folders), None)
    if test and (parts or test == "test"):
        parts["test"] = folders[test]
    return parts


def _classes(path: Path, split: Split, part: _Folder, others: list[str]) -> Found:
    found: Found = {}
    for name, folder in part.folders.items():
        of_class = found.setdefault(unicodedata.normalize("NFC", name), [])
        for file in _files(folder):
            if may_be_picture(file[0]):
                of_class.append(file)
            else:
                others.append(file[0])
    empty = sorted(name for name, files in found.items() if not files)
    unfit = sorted(name for name in found if not name.isprintable() or len(name) > _LONGEST_NAME)
    if empty:
        raise TrainingError(
            f"{path}: {split} class {', '.join(empty)} is empty; put pictures there or remove the folder"
        )
    if unfit:
        raise TrainingError(
            f"{path}: {', '.join(unfit)} can't be the name of a class: over {_LONGEST_NAME} characters, or some that "
            "can't be printed; rename the folder"
        )
    if len(found) < 2:
        raise TrainingError(f"{path} has one class, {', '.join(found)}; at least 2 are needed, a folder each")
    return found


def _files(folder: _Folder) -> Iterator[tuple[str, Source]]:
    yield from folder.files
    for below in folder.folders.values():
        yield from _files(below)
