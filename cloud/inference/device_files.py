"""The device's part of the loaded bundles, for devices to fetch."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splitwire.cloud.errors import FileUnknown
from splitwire.shared.bundle import MANIFEST
from splitwire.shared.errors import BundleFileMismatch, BundleMissing
from splitwire.shared.evaluation import EVALUATION
from splitwire.shared.messages import BundleFile, BundleFiles, BundleList

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from splitwire.shared.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class DeviceFile:
    """A file as it was when the server started."""

    path: Path
    status: os.stat_result
    sha256: str

    def changed(self) -> bool:
        """Tell whether the file is another one now, or has gone."""
        try:
            now = self.path.stat()
        except OSError:
            return True
        return (now.st_size, now.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns)


class DeviceFiles:
    """By bundle, the manifest, the evaluation and the files of the device's role: nothing else can be asked for.

    A bundle whose device files are not all there, as in a cloud's own installation, gives out none.
    Of several bundles with one id, the first whose device files are all there gives them out.
    """

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        """Hash the files.

        Raises:
            BundleFileMismatch: a file is not the one the manifest names.
            BundleMissing: a file is there and can't be read.

        """
        self._bundles: dict[str, Mapping[str, DeviceFile]] = {}
        for bundle in bundles:
            names = (MANIFEST, *bundle.manifest.needed("device"))
            if bundle.manifest.id not in self._bundles and all(
                (bundle.path / name).is_file() for name in names
            ):
                if (bundle.path / EVALUATION).is_file():
                    names = (*names, EVALUATION)
                self._bundles[bundle.manifest.id] = {name: _hashed(bundle, name) for name in names}

    def describe(self) -> BundleList:
        """List what can be fetched."""
        return BundleList(
            bundles=tuple(
                BundleFiles(
                    id=bundle,
                    files=tuple(
                        BundleFile(path=name, bytes=file.status.st_size, sha256=file.sha256)
                        for name, file in files.items()
                    ),
                )
                for bundle, files in self._bundles.items()
            )
        )

    def find(self, bundle: str, name: str) -> DeviceFile:
        """Look a file up.

        Raises:
            FileUnknown: it is not listed, or not what it was when the server started.

        """
        try:
            file = self._bundles[bundle][name]
        except KeyError:
            raise FileUnknown(bundle, name, "no file that devices can fetch here") from None
        if file.changed():
            raise FileUnknown(bundle, name, "it has changed since the cloud was started")
        return file


def _hashed(bundle: Bundle, name: str) -> DeviceFile:
    path = bundle.path / name
    try:
        with path.open("rb") as file:
            status, actual = os.fstat(file.fileno()), hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise BundleMissing(bundle.path, f"{name} can't be read ({exc.strerror})") from exc
    entry = bundle.manifest.files.get(name)
    expected = entry.sha256 if entry else actual
    if actual != expected:
        raise BundleFileMismatch(bundle.path, name, expected, actual)
    return DeviceFile(path=path, status=status, sha256=actual)
