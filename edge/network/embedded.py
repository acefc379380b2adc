"""The cloud inside the device's process: the same application, frames and routes, without a socket."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from splitwire.shared.errors import PackagesMissing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

URL = "http://embedded"


@asynccontextmanager
async def embedded_cloud(bundle: Path) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """Start the cloud's application, and stop it at the end.

    Raises:
        PackagesMissing: the cloud's packages are not installed.
        BundleError: the bundle can't be used.

    """
    try:
        from splitwire.cloud.app import running_app  # noqa: PLC0415
        from splitwire.cloud.settings import CloudSettings  # noqa: PLC0415
    except ImportError as exc:
        raise PackagesMissing(
            exc.name or "cloud",
            "classifying without a cloud",
            "name a cloud with --cloud URL, or install one here, in a clone with: pip install '.[cloud]'",
        ) from exc
    async with running_app(CloudSettings(bundles=(bundle,))) as app:
        yield httpx.ASGITransport(app, raise_app_exceptions=False)
