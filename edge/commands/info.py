"""What there is: a bundle's qualities, backends for the head, a cloud."""

from __future__ import annotations

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ConfigDict

from splitwire.edge.compute.head import HeadName
from splitwire.edge.errors import CloudError
from splitwire.edge.network.cloud_api import CloudApi
from splitwire.shared.bundle import load_manifest
from splitwire.shared.evaluation import BASE, DEVICE, Share, load_evaluation

if TYPE_CHECKING:
    from pathlib import Path

    from splitwire.shared.evaluation import Score
    from splitwire.shared.messages import Model


_SHOWN = 20
"""Classes that are named."""


class QualityInfo(BaseModel):
    """One quality. What was not measured is null.

    ``body_bytes``: mean request body of one picture. ``fingerprint``: as on the wire, hexadecimal.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    id: int
    codec: str
    fingerprint: str
    default: bool
    body_bytes: float | None
    accuracy: Share | None


class CloudInfo(BaseModel):
    """A cloud. ``problem``: why it can't be used, and what to do; null where it can.

    ``qualities``: those of the device's bundle that it decodes.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    problem: str | None
    device: str | None = None
    qualities: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Write it for people."""
        said = self.problem or f"ready on {self.device}, for {', '.join(self.qualities)}"
        return [f"cloud {self.url}: {said.removeprefix(f'cloud {self.url}: ')}"]


class BundleInfo(BaseModel):
    """A bundle; qualities from the fewest bytes to the most. ``base_accuracy``: without compression.

    ``device_accuracy``: of the device's own small classifier.
    """

    model_config = ConfigDict(frozen=True)

    bundle: str
    network: str
    cut: str
    classes: tuple[str, ...]
    pictures_measured: int | None
    base_accuracy: Share | None
    device_accuracy: Share | None
    qualities: tuple[QualityInfo, ...]

    def lines(self) -> list[str]:
        """Write it for people, and what can run the head."""
        more = f" and {len(self.classes) - _SHOWN:,} more" if len(self.classes) > _SHOWN else ""
        lines = [
            f"{self.bundle}: {self.network}, cut at {self.cut}",
            f"{len(self.classes):,} classes: {', '.join(self.classes[:_SHOWN])}{more}",
        ]
        if self.base_accuracy is not None:
            lines.append(f"without compression {_accuracy(self.base_accuracy)}")
        if self.device_accuracy is not None:
            lines.append(f"the device alone {_accuracy(self.device_accuracy)}")
        for each in self.qualities:
            size = "not measured" if each.body_bytes is None else f"{each.body_bytes:,.1f} bytes"
            default = ", the default" if each.default else ""
            lines.append(f"{each.name:8} {size:>14}  {_accuracy(each.accuracy)}  {each.codec}{default}")
        heads = ", ".join(f"{name} {release or 'not installed'}" for name, release in backends().items())
        return [*lines, f"heads: {heads}"]


def _accuracy(share: Share | None) -> str:
    if share is None:
        return "not measured"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%} of {share.n:,})"


def describe(path: Path) -> BundleInfo:
    """Read a bundle's manifest and evaluation.

    Raises:
        BundleError: one of them can't be used.

    """
    manifest, evaluation = load_manifest(path), load_evaluation(path)
    scores: dict[str, Score] = evaluation.scores if evaluation else {}
    qualities = [
        QualityInfo(
            name=name,
            id=quality.id,
            codec=quality.codec,
            fingerprint=f"{manifest.fingerprint(name):08x}",
            default=name == manifest.default_quality,
            body_bytes=scores[name].body_bytes if name in scores else None,
            accuracy=scores[name].accuracy if name in scores else None,
        )
        for name, quality in manifest.qualities.items()
    ]
    return BundleInfo(
        bundle=manifest.id,
        network=manifest.network.name,
        cut=manifest.network.cut,
        classes=manifest.classes,
        pictures_measured=evaluation.pictures if evaluation else None,
        base_accuracy=scores[BASE].accuracy if BASE in scores else None,
        device_accuracy=scores[DEVICE].accuracy if DEVICE in scores else None,
        qualities=tuple(sorted(qualities, key=lambda quality: quality.body_bytes or 0)),
    )


def backends() -> dict[str, str | None]:
    """Name what can run the head here, with its version; None: not installed."""
    found: dict[str, str | None] = {}
    for name in get_args(HeadName):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def ask_cloud(url: str, key: str | None, bundle: BundleInfo, seconds: float = 5.0) -> CloudInfo:
    """Find out whether a cloud can be used with a bundle.

    Raises:
        SettingsError: the URL or the key can't be used.

    """

    async def ask() -> Model:
        async with api:
            model = await api.model()
            await api.ready()
            return model

    api = CloudApi(url, key, seconds)
    try:
        model = asyncio.run(ask())
    except CloudError as exc:
        return CloudInfo(url=api.url, problem=str(exc))
    known = {fingerprint for loaded in model.bundles for fingerprint in loaded.fingerprints.values()}
    qualities = tuple(each.name for each in bundle.qualities if each.fingerprint in known)
    problem = None if qualities else f"it has another bundle than {bundle.bundle}; pull its own"
    return CloudInfo(url=api.url, problem=problem, device=model.device, qualities=qualities)
