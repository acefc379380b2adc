"""Pictures in, records out.

    path ─load─> picture ─head─> latent ─encode─> frame ─connection─> answer ─> record

While one picture's frame is on its way, the next one goes through the head.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.connection import connect
from edge.encoder import Encoder
from edge.head import open_head
from edge.records import Record, problem
from shared.bundle import load_bundle
from shared.codecs import codec_of
from shared.errors import SplitwireError, shown
from shared.frame import Frame, pack
from shared.picture import load_picture, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from edge.connection import Connection
    from edge.head import Head
    from edge.settings import DeviceSettings
    from shared.bundle import Manifest
    from shared.codecs.abc import Codec

MAX_IN_FLIGHT = 8
STAGES = ("load", "head", "encode", "network")
"""What a picture passes through, in order; their times add up to its total."""


@asynccontextmanager
async def open_classifier(settings: DeviceSettings) -> AsyncIterator[Classifier]:
    """Load the device's half and open the way to its cloud.

    Raises:
        SettingsError: the cloud's URL is not one.
        BundleError: the bundle can't be used, or has no such quality.
        PackagesMissing: the head's or the embedded cloud's packages are not installed.

    """
    bundle = load_bundle(settings.bundle, "device")
    quality = settings.quality or bundle.manifest.default_quality
    codec = codec_of(bundle, quality)
    async with connect(settings) as connection:
        yield Classifier(
            manifest=bundle.manifest,
            quality=quality,
            head=open_head(settings.head, bundle),
            encoder=Encoder(bundle, quality),
            codec=codec,
            connection=connection,
            top=settings.top,
        )


@dataclass(frozen=True, kw_only=True)
class _Encoded:
    body: bytes
    payload_bytes: int
    timings: dict[str, float]
    """Stage -> milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A device's half for one bundle and quality, and the way to its cloud."""

    manifest: Manifest
    quality: str
    head: Head
    encoder: Encoder
    codec: Codec
    connection: Connection
    top: int

    async def classify(self, paths: Iterable[Path]) -> AsyncIterator[Record]:
        """Give a record for every path, in order; a picture that fails does not stop the others."""
        pending: deque[asyncio.Task[Record]] = deque()
        try:
            for path in paths:
                pending.append(asyncio.create_task(self._send(path, await self._encode(path))))
                while pending and (pending[0].done() or len(pending) > MAX_IN_FLIGHT):
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()

    async def _encode(self, path: Path) -> _Encoded | SplitwireError:
        try:
            return await asyncio.to_thread(self._encode_now, path)
        except SplitwireError as exc:
            return exc

    def _encode_now(self, path: Path) -> _Encoded:
        moments = [time.perf_counter()]
        picture = prepare(load_picture(path), self.manifest.preparation)
        moments.append(time.perf_counter())
        feature = self.head(picture)
        moments.append(time.perf_counter())
        payload = self.codec.encode(self.encoder(feature))
        frame = Frame(
            fingerprint=self.manifest.fingerprint(self.quality),
            quality=self.manifest.qualities[self.quality].id,
            payloads=(payload,),
        )
        body = pack(frame)
        moments.append(time.perf_counter())
        spans = zip(STAGES, moments, moments[1:], strict=False)
        return _Encoded(
            body=body,
            payload_bytes=len(payload),
            timings={stage: _milliseconds(end - start) for stage, start, end in spans},
        )

    async def _send(self, path: Path, encoded: _Encoded | SplitwireError) -> Record:
        record = Record(path=shown(path), quality=self.quality, source=self.connection.source)
        if isinstance(encoded, SplitwireError):
            return record.model_copy(update={"error": problem(encoded)})
        sent = {"payload_bytes": encoded.payload_bytes, "body_bytes": float(len(encoded.body))}
        started = time.perf_counter()
        try:
            answer = await self.connection.infer(encoded.body, 1, self.top)
        except SplitwireError as exc:
            return record.model_copy(update={**sent, "timings_ms": encoded.timings, "error": problem(exc)})
        network = _milliseconds(time.perf_counter() - started)
        timings = {**encoded.timings, "network": network}
        timings["total"] = round(sum(timings.values()), 3)
        (prediction,) = answer.predictions
        return record.model_copy(
            update={
                **dict(prediction),
                **sent,
                "timings_ms": {**timings, **answer.timings_ms.model_dump()},
                "bundle": answer.bundle,
            }
        )


def _milliseconds(seconds: float) -> float:
    return round(1e3 * seconds, 3)
