"""Pictures in, records out.

    path ─load─> picture ─head─> feature ─encode─> payload ─sender─> answer ─> record
                                    └─fallback─> the device's own answer

While one picture is in the head, the next one is loaded and earlier ones are on their way.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from splitwire.edge.compute.coder import Coder
from splitwire.edge.compute.fallback import Fallback
from splitwire.edge.compute.head import open_head
from splitwire.edge.compute.memory import give_back
from splitwire.edge.compute.picture_decoder import Decoder
from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import CloudBusy, CloudLate, CloudUnreachable, FallbackMissing
from splitwire.edge.network.connection import connect
from splitwire.edge.network.sender import Sender
from splitwire.edge.records import Encoded, Record, problem
from splitwire.shared.bundle import load_bundle
from splitwire.shared.errors import SplitwireError, shown
from splitwire.shared.pictures.loading import prepare

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from splitwire.edge.compute.head import Head
    from splitwire.edge.settings import DeviceSettings
    from splitwire.shared.bundle import Manifest
    from splitwire.shared.messages import Prediction

STAGES = ("load", "head", "encode", "network")
"""What a picture passes through, in order; their times add up to its total."""

_AHEAD = 2
"""How many pictures are loaded before the head has time for them."""
_UNANSWERED = 128
"""How many pictures wait for answers at most."""
_FALLBACK_SECONDS = 0.005
"""What is kept of a deadline for the device's own answer."""


@asynccontextmanager
async def open_classifier(settings: DeviceSettings) -> AsyncIterator[Classifier]:
    """Load the device's half and open the way to its cloud.

    Raises:
        SettingsError: the cloud's URL is not one.
        BundleError: the bundle can't be used, or has no such quality.
        PackagesMissing: the head's or the embedded cloud's packages are not installed.

    """
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="head") as head_thread,
        # A BLAS with several threads lets them wait in a loop between its small products, and takes the head's cores.
        threadpool_limits(limits=1, user_api="blas"),
        closing(Decoder()) as decoder,
    ):
        loading = asyncio.get_running_loop().run_in_executor(head_thread, _load_half, settings)
        manifest, head, coder, fallback = await loading
        give_back()
        async with connect(settings, manifest.classes) as connection:
            yield Classifier(
                settings=settings,
                manifest=manifest,
                decoder=decoder,
                head=head,
                head_thread=head_thread,
                coder=coder,
                fallback=fallback,
                sender=Sender(connection, manifest, settings.top, coder.link),
            )


def _load_half(settings: DeviceSettings) -> tuple[Manifest, Head, Coder, Fallback | None]:
    """Load the device's half; the bundle's own arrays are let go, since each part keeps what it made of them."""
    bundle = load_bundle(settings.bundle, "device")
    coder = Coder(bundle, settings.quality or bundle.manifest.default_quality)
    fallback = Fallback.load(bundle)
    if fallback is None and settings.confident is not None:
        raise FallbackMissing(settings.bundle, "--confident")
    head = open_head(settings.head, bundle, low_memory=settings.low_memory)
    return bundle.manifest, head, coder, fallback


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A picture, or why there is none; ``deadline``: when its answer is due."""

    name: str
    picture: NDArray[np.float32] | SplitwireError
    milliseconds: float
    deadline: Deadline


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A device's half for one bundle and quality, and the way to its cloud."""

    settings: DeviceSettings
    manifest: Manifest
    decoder: Decoder
    head: Head
    head_thread: ThreadPoolExecutor
    """The only thread that loads and runs the head: OpenMP has workers for each thread that it is called from."""
    coder: Coder
    fallback: Fallback | None
    sender: Sender

    async def classify(self, pictures: Iterable[Path | bytes]) -> AsyncGenerator[Record]:
        """Give a record for every picture, a file or the bytes of one, in order.

        One that fails does not stop the others.
        """
        pending: deque[asyncio.Task[Record]] = deque()
        try:
            async for loaded in self._load_ahead(pictures):
                encoded = await self._encode(loaded)
                pending.append(asyncio.create_task(self._answer(loaded, encoded)))
                await asyncio.sleep(0)  # let it enter the sender's queue
                while pending and (pending[0].done() or len(pending) > _UNANSWERED):
                    yield await pending.popleft()
            self.sender.flush()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()

    async def _load_ahead(self, pictures: Iterable[Path | bytes]) -> AsyncIterator[Loaded]:
        loading: deque[asyncio.Task[Loaded]] = deque()
        try:
            for picture in pictures:
                loading.append(asyncio.create_task(asyncio.to_thread(self._load, picture)))
                if len(loading) > _AHEAD:
                    yield await loading.popleft()
            while loading:
                yield await loading.popleft()
        finally:
            for task in loading:
                task.cancel()

    def _load(self, source: Path | bytes) -> Loaded:
        started = time.perf_counter()
        name = "standard input" if isinstance(source, bytes) else shown(source)
        deadline = Deadline.after(self.settings.deadline_ms / 1e3)
        picture: NDArray[np.float32] | SplitwireError
        try:
            picture = self._prepared(source, name, self.settings.deadline_ms / 1e3)
        except SplitwireError as exc:
            picture = exc
        return Loaded(
            name=name,
            picture=picture,
            milliseconds=_since(started),
            deadline=deadline,
        )

    def _prepared(self, source: Path | bytes, name: str, seconds: float) -> NDArray[np.float32]:
        preparation = self.manifest.preparation
        return prepare(self.decoder(source, name, preparation.size, seconds), preparation)

    async def _encode(self, loaded: Loaded) -> Encoded | SplitwireError:
        try:
            return await self.encode_loaded(loaded)
        except SplitwireError as exc:
            return exc

    async def encode(self, data: bytes, name: str, deadline: Deadline) -> Encoded:
        """Make the code of one picture from its file's bytes, whose answer is due by ``deadline``.

        Raises:
            SplitwireError: see ``load`` and ``encode_loaded``.

        """
        return await self.encode_loaded(await self.load(data, name, deadline))

    async def load(self, data: bytes, name: str, deadline: Deadline) -> Loaded:
        """Decode and prepare one picture.

        Raises:
            PictureBroken: the bytes are no usable picture; ``name`` says which.
            DecoderFailed: the process that decodes can't be started.

        """

        def load_now() -> Loaded:
            started = time.perf_counter()
            picture = self._prepared(data, name, deadline.left())
            return Loaded(name=name, picture=picture, milliseconds=_since(started), deadline=deadline)

        return await asyncio.to_thread(load_now)

    async def encode_loaded(self, loaded: Loaded) -> Encoded:
        """Make the code of a picture that was loaded.

        Raises:
            SplitwireError: there was no picture.
            LatentInvalid: the head made of it what can't be coded.

        """
        if isinstance(loaded.picture, SplitwireError):
            raise loaded.picture
        return await asyncio.get_running_loop().run_in_executor(
            self.head_thread, self._encode_now, loaded.picture, loaded.milliseconds, loaded.deadline
        )

    def _encode_now(self, picture: NDArray[np.float32], load: float, deadline: Deadline) -> Encoded:
        started = time.perf_counter()
        feature = self.head(picture)
        computed = time.perf_counter()
        own = self.fallback(feature, self.settings.top) if self.fallback else None
        coded = self.coder(feature, deadline.left())
        encoded = time.perf_counter()
        return Encoded(
            payload=coded.payload,
            quality=coded.quality,
            reason=coded.reason,
            own=own,
            timings_ms={
                "load": load,
                "head": _milliseconds(computed - started),
                "encode": _milliseconds(encoded - computed),
            },
        )

    async def _answer(self, loaded: Loaded, encoded: Encoded | SplitwireError) -> Record:
        path = loaded.name
        if isinstance(encoded, SplitwireError):
            return self._record(path, None).model_copy(update={"error": problem(encoded)})
        started = time.perf_counter()
        try:
            return await self.answer(path, encoded, loaded.deadline)
        except SplitwireError as exc:
            return self._record(path, encoded).model_copy(
                update={
                    "payload_bytes": len(encoded.payload),
                    "timings_ms": {**encoded.timings_ms, "network": _since(started)},
                    "error": problem(exc),
                }
            )

    async def answer(self, path: str, encoded: Encoded, deadline: Deadline) -> Record:
        """Get the answer for one picture: from the cloud, or where that may be, from the device itself.

        It is sent with others; ``sender.flush`` says that no more will come now.

        Raises:
            CloudError: there is none; see ``Connection.infer``.

        """
        record = self._record(path, encoded).model_copy(
            update={"payload_bytes": len(encoded.payload), "timings_ms": encoded.timings_ms}
        )
        own, confident = encoded.own, self.settings.confident
        if own and confident is not None and own.probability >= confident:
            return _own_answer(
                record.model_copy(update={"payload_bytes": 0, "body_bytes": 0.0, "wire_bytes": 0.0}),
                own,
                f"at least {confident:g} sure",
            )
        started = time.perf_counter()
        try:
            sent = await self.sender.send(
                encoded.payload, encoded.quality, deadline.before(_FALLBACK_SECONDS)
            )
        except (CloudUnreachable, CloudBusy, CloudLate) as exc:
            if own is None or not self.settings.fallback:
                raise
            timings = {**encoded.timings_ms, "network": _since(started)}
            reason = f"{encoded.reason}; {exc}" if encoded.reason else str(exc)
            return _own_answer(record.model_copy(update={"timings_ms": timings}), own, reason)
        timings = {**encoded.timings_ms, "network": _since(started)}
        timings["total"] = round(sum(timings.values()), 3)
        return record.model_copy(
            update={
                **dict(sent.prediction),
                "body_bytes": sent.body_bytes,
                "wire_bytes": sent.wire_bytes,
                "timings_ms": {**timings, **sent.timings_ms.model_dump()},
                "bundle": self.manifest.id,
            }
        )

    def _record(self, path: str, encoded: Encoded | None) -> Record:
        return Record(
            path=path,
            quality=encoded.quality if encoded else self.coder.quality,
            source=self.sender.source,
            reason=encoded.reason if encoded else None,
        )


def _own_answer(record: Record, own: Prediction, reason: str) -> Record:
    timings = {**record.timings_ms, "total": round(sum(record.timings_ms.values()), 3)}
    return record.model_copy(
        update={**dict(own), "source": "device", "reason": reason, "timings_ms": timings}
    )


def _since(started: float) -> float:
    return _milliseconds(time.perf_counter() - started)


def _milliseconds(seconds: float) -> float:
    return round(1e3 * seconds, 3)
