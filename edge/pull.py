"""Fetches the device's part of a bundle from a cloud: all of it, or nothing changes.

TARGET ──link──> .TARGET-xxxxxxxx/      swapped by replacing the link
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

import httpx
from pydantic import ValidationError

from edge.connection import authorization, checked_url, open_client
from shared.bundle import load_bundle
from shared.errors import (
    BundleFileMismatch,
    CloudAnswerInvalid,
    CloudRefused,
    CloudUnreachable,
    SettingsError,
    shown,
)
from shared.messages import BundleList, ErrorAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.messages import BundleFile, BundleFiles

_SECONDS = 30.0


def pull(
    cloud: str, key: str | None, bundle: str | None, target: Path, progress: Callable[[int, int], None]
) -> BundleFiles:
    """Fetch a bundle, check every hash, and let ``target`` lead to it.

    What the device has already is not fetched again. Interrupted at any moment, ``target`` leads to
    what it led to before.

    Args:
        cloud: URL.
        key: the cloud's API key, where it wants one.
        bundle: its id; None where the cloud has one only.
        target: a link that is made or replaced.
        progress: told of bytes that are there, of all bytes.

    Raises:
        SettingsError: the URL or the key can't be used, the bundle must be named, or ``target`` is something else.
        CloudError: the cloud can't be reached, refuses, or sends what it did not announce.
        BundleError: what was fetched is no usable bundle.

    """
    if (target.exists() or target.is_symlink()) and _place_of(target) is None:
        raise SettingsError(f"{shown(target)} is there and no link that pull made; name another place")
    with Source(cloud, key) as source:
        return _pull(source, bundle, target, progress)


def _pull(
    source: Source, bundle: str | None, target: Path, progress: Callable[[int, int], None]
) -> BundleFiles:
    chosen = _choose(source.bundles(), bundle, source.cloud)
    before = _place_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    try:
        done, total = 0, sum(file.bytes for file in chosen.files)
        for file in chosen.files:
            _place(source, chosen.id, file, fresh, before)
            done += file.bytes
            progress(done, total)
        load_bundle(fresh, "device")
        _lead(target, fresh)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if before is not None:
        shutil.rmtree(before, ignore_errors=True)
    return chosen


class Source:
    """A cloud that gives out files."""

    def __init__(self, cloud: str, key: str | None, seconds: float = _SECONDS) -> None:
        self.cloud = cloud
        self._client = open_client(
            httpx.Client, checked_url(cloud), headers=authorization(key), timeout=seconds
        )

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._client.close()

    def bundles(self) -> BundleList:
        """List what can be fetched.

        Raises:
            CloudError: see ``pull``.

        """
        try:
            return BundleList.model_validate_json(self.get("/bundles"))
        except ValidationError as exc:
            raise CloudAnswerInvalid(self.cloud, "it lists no bundles; is the URL a cloud's?") from exc

    def get(self, path: str) -> bytes:
        """Fetch one resource.

        Raises:
            CloudError: see ``pull``.

        """
        try:
            response = self._client.get(path)
        except httpx.RequestError as exc:
            raise CloudUnreachable(self.cloud, f"{str(exc) or type(exc).__name__}; is it running?") from exc
        if response.status_code == httpx.codes.OK:
            return response.content
        try:
            words = ErrorAnswer.model_validate_json(response.content).message
        except ValidationError as exc:
            raise CloudAnswerInvalid(
                self.cloud, f"HTTP {response.status_code} for {path}; is the URL a cloud's?"
            ) from exc
        raise CloudRefused(self.cloud, response.status_code, words)


def _choose(offered: BundleList, bundle: str | None, cloud: str) -> BundleFiles:
    by_id = {each.id: each for each in offered.bundles}
    if bundle is None and len(by_id) == 1:
        return next(iter(by_id.values()))
    if bundle in by_id:
        return by_id[bundle]
    names = ", ".join(by_id) or "none"
    raise SettingsError(f"the cloud {cloud} gives out these bundles: {names}; name one with --id")


def _place(source: Source, bundle: str, file: BundleFile, folder: Path, before: Path | None) -> None:
    """Write one file, from the bundle that is there already where it has the same."""
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts:
        raise CloudAnswerInvalid(source.cloud, f"it names a file outside of the bundle: {file.path}")
    data = _kept(before / path, file.sha256) if before is not None else None
    if data is None:
        data = source.get(f"/bundles/{bundle}/{file.path}")
        actual = hashlib.sha256(data).hexdigest()
        if actual != file.sha256:
            raise BundleFileMismatch(folder, file.path, file.sha256, actual)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)


def _kept(path: Path, sha256: str) -> bytes | None:
    if not path.is_file():
        return None
    data = path.read_bytes()
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def _prefix(target: Path) -> str:
    return f".{target.name}-"


def _place_of(target: Path) -> Path | None:
    """Tell where a link that ``pull`` made leads; None for anything else."""
    if not target.is_symlink():
        return None
    place = target.readlink()
    return (
        target.parent / place if str(place) == place.name and place.name.startswith(_prefix(target)) else None
    )


def _lead(target: Path, place: Path) -> None:
    """Make or replace the link in one step."""
    link = place.with_name(f"{place.name}-link")
    link.symlink_to(place.name)
    link.replace(target)
