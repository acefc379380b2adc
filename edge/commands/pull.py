"""Fetches the device's part of a bundle from a cloud: all of it, or nothing changes.

TARGET ──link──> .TARGET-xxxxxxxx.pull/      swapped by replacing the link

A folder is locked while a pull works in it. The next pull removes folders that are neither locked nor in use: a pull
that was killed left them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from splitwire.edge.errors import BundleUnwritable, CloudAnswerInvalid
from splitwire.edge.network.cloud_api import CloudApi
from splitwire.shared.bundle import MAX_BUNDLE_BYTES, MAX_FILE_BYTES, load_bundle, read_bundle_file
from splitwire.shared.errors import LONGEST_SHOWN, BundleError, BundleFileMismatch, SettingsError, shown

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from splitwire.shared.messages import BundleFile, BundleFiles, BundleList

_SECONDS = 30.0
_SUFFIX = ".pull"


def pull(
    cloud: str,
    key: str | None,
    bundle: str | None,
    target: Path,
    progress: Callable[[int, int], None],
    seconds: float = _SECONDS,
) -> BundleFiles:
    """Fetch a bundle, check every hash, and make ``target`` a link to it.

    What the device has already is not fetched again. If it is interrupted, at any moment, ``target`` stays as it was.

    Args:
        cloud: URL.
        key: the cloud's API key, where it wants one.
        bundle: its id; None where the cloud has one only.
        target: a link that is made or replaced.
        progress: told of bytes that are there, of all bytes.
        seconds: how long the cloud may take for its list, and for each 8 KiB of a file.

    Raises:
        SettingsError: the URL or the key can't be used, the bundle must be named, or ``target`` is something else.
        CloudError: the cloud can't be reached, refuses, is too slow, or sends what it did not announce.
        BundleUnwritable: there is no room for the bundle, or no permission to write it.
        BundleError: what was fetched is no usable bundle.

    """
    with _writing(target):
        if (target.exists() or target.is_symlink()) and _place_of(target) is None:
            raise SettingsError(f"{shown(target)} is there and no link that pull made; name another place")

    async def fetch() -> BundleFiles:
        async with CloudApi(cloud, key, seconds) as api:
            chosen = _choose(await api.bundles(), bundle, api.url)
            total = sum(file.bytes for file in chosen.files)
            with _writing(target), _fresh_folder(target, total) as fresh:
                await _fill(fresh, api, chosen, _place_of(target), progress)
                load_bundle(fresh, "device")
                link = fresh / "link"
                link.symlink_to(fresh.name)
                link.replace(target)  # in one step
            return chosen

    return asyncio.run(fetch())


async def _fill(
    folder: Path,
    api: CloudApi,
    chosen: BundleFiles,
    before: Path | None,
    progress: Callable[[int, int], None],
) -> None:
    """Write every file, from the bundle that is there already where it has the same."""
    done, total = 0, sum(file.bytes for file in chosen.files)
    for file in chosen.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            if (kept := _kept(before, file)) is not None:
                stream.write(kept)
            else:
                await api.fetch(chosen.id, file, stream)
        with path.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
        if actual != file.sha256:
            raise BundleFileMismatch(folder, file.path, file.sha256, actual)
        done += file.bytes
        progress(done, total)


def _kept(before: Path | None, file: BundleFile) -> bytes | None:
    if before is not None:
        with suppress(BundleError, FileNotFoundError):
            data = read_bundle_file(before, file.path, file.bytes)
            if hashlib.sha256(data).hexdigest() == file.sha256:
                return data
    return None


def _choose(offered: BundleList, bundle: str | None, cloud: str) -> BundleFiles:
    """Find the bundle in a cloud's list.

    Raises:
        SettingsError: it is not there, or one has to be named.
        CloudAnswerInvalid: it is larger than any bundle.

    """
    by_id = {each.id: each for each in offered.bundles}
    if bundle is None and len(by_id) == 1:
        (bundle,) = by_id
    if bundle is None or bundle not in by_id:
        names = shown(", ".join(by_id) or "none", LONGEST_SHOWN)
        raise SettingsError(f"the cloud {cloud} gives out these bundles: {names}; name one with --id")
    sizes = [file.bytes for file in by_id[bundle].files]
    if sum(sizes) > MAX_BUNDLE_BYTES or any(size > MAX_FILE_BYTES for size in sizes):
        most, most_file = MAX_BUNDLE_BYTES >> 20, MAX_FILE_BYTES >> 20
        raise CloudAnswerInvalid(cloud, f"its bundle is over {most} MiB, or a file over {most_file} MiB")
    return by_id[bundle]


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise BundleUnwritable(
            target, f"it can't be written ({exc.strerror}); make room, or name another place"
        ) from exc


@contextmanager
def _fresh_folder(target: Path, size: int) -> Iterator[Path]:
    """Make a locked folder with room for so many bytes; at the end only the folder in use stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_dead(target)
    if shutil.disk_usage(target.parent).free < size:
        raise BundleUnwritable(target, f"its {size / 1e6:.0f} MB don't fit on the disk; make room")
    before = _place_of(target)
    with _new_folder(target) as fresh:
        try:
            yield fresh
        finally:
            for folder in (fresh, before):
                if folder is not None and folder != _place_of(target):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_prefix(target), suffix=_SUFFIX, dir=target.parent))
            with suppress(BlockingIOError, FileNotFoundError):  # another pull may have taken it for dead
                stack.enter_context(_locked(folder))
                if folder.exists():
                    break
        yield folder


def _remove_dead(target: Path) -> None:
    ours = re.compile(rf"{re.escape(_prefix(target))}[a-z0-9_]{{8}}{re.escape(_SUFFIX)}")
    for folder in target.parent.iterdir():
        if ours.fullmatch(folder.name):
            with suppress(OSError), _locked(folder) as locked:
                if locked and folder != _place_of(target):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a folder, for as long as this process lives at most; False where there are no such locks.

    Raises:
        BlockingIOError: another process holds it.

    """
    if sys.platform == "win32":
        yield False
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            raise
        except OSError:  # a network's file system
            locked = False
        yield locked
    finally:
        os.close(handle)


def _prefix(target: Path) -> str:
    return f".{target.name}-"


def _place_of(target: Path) -> Path | None:
    """Tell where a link that ``pull`` made leads; None for anything else."""
    if not target.is_symlink():
        return None
    place = target.readlink()
    ours = str(place) == place.name and place.name.startswith(_prefix(target))
    return target.parent / place if ours else None
