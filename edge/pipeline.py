"""Pictures in, results out.

    file ─load─> picture ─head─> latent ─encode─> payload ─sender─> answer ─> result
                          └────> the device's own answer

While one picture is in the head, the next ones are loaded and earlier ones are on their way.
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
from splitwire.edge.compute.head import open_head
from splitwire.edge.compute.memory import give_back
from splitwire.edge.compute.picture_decoder import PictureDecoder
from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import CloudBusy, CloudLate, CloudUnreachable, FallbackMissing
from splitwire.edge.network.connection import connect
from splitwire.edge.network.sender import Sender
from splitwire.edge.results import Answered, Encoded, failed
from splitwire.edge.sources import opened
from splitwire.shared.bundle import load_bundle
from splitwire.shared.errors import SplitwireError
from splitwire.shared.graph.reading import CLASSES
from splitwire.shared.pictures.loading import normalise
from splitwire.shared.task import task_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from splitwire.edge.compute.head import Head
    from splitwire.edge.network.sender import Sent
    from splitwire.edge.results import Result
    from splitwire.edge.settings import DeviceSettings
    from splitwire.edge.sources import Picture
    from splitwire.shared.bundle import Manifest
    from splitwire.shared.messages import Prediction

PHASES = ("load", "head", "encode", "network")
"""What a picture passes through, in order; their times add up to its total."""

_AHEAD = 2
"""How many pictures are loaded before the head has time for them."""
_UNANSWERED = 128
"""How many pictures wait for answers at most."""
_FALLBACK_SECONDS = 0.005
"""What is kept of a deadline for the device's own answer."""


@asynccontextmanager
async def open_pipeline(settings: DeviceSettings) -> AsyncIterator[Pipeline]:
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
        closing(PictureDecoder()) as decoder,
    ):
        loading = asyncio.get_running_loop().run_in_executor(head_thread, _load_half, settings)
        manifest, head, coder = await loading
        give_back()
        async with connect(settings, manifest.classes) as connection:
            yield Pipeline(
                settings=settings,
                manifest=manifest,
                decoder=decoder,
                head=head,
                head_thread=head_thread,
                coder=coder,
                sender=Sender(connection, manifest, settings.top, coder.throughput),
            )


def _load_half(settings: DeviceSettings) -> tuple[Manifest, Head, Coder]:
    """Load the device's half; the bundle's own arrays are let go, since each part keeps what it made of them."""
    bundle = load_bundle(settings.bundle, "device")
    coder = Coder(bundle, settings.quality or bundle.manifest.default_quality)
    if not bundle.manifest.fallback and settings.confident is not None:
        raise FallbackMissing(settings.bundle, "--confident")
    outputs = {*coder.outputs.values(), *([CLASSES] if bundle.manifest.fallback else [])}
    head = open_head(settings.head, bundle, outputs, low_memory=settings.low_memory)
    return bundle.manifest, head, coder


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A picture, ready for the head: float32 [3, rows, columns]. ``milliseconds``: loading took; ``deadline``: of its answer."""

    picture: NDArray[np.float32]
    milliseconds: float
    deadline: Deadline


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A device's half for one bundle and quality, and the way to its cloud."""

    settings: DeviceSettings
    manifest: Manifest
    decoder: PictureDecoder
    head: Head
    head_thread: ThreadPoolExecutor
    """The only thread that loads and runs the head: OpenMP has workers for each thread that it is called from."""
    coder: Coder
    sender: Sender

    async def classify(self, pictures: Iterable[tuple[str, Picture]]) -> AsyncGenerator[Result]:
        """Give a result for every picture, each with what to call it, in order.

        One that fails does not stop the others.
        """
        pending: deque[asyncio.Task[Result]] = deque()
        try:
            async for name, loading in self._load_ahead(pictures):
                try:
                    loaded = await loading
                    encoded = await self.encode(loaded)
                    answering = self._start(name, encoded, loaded.deadline)
                    result = self._result(name, encoded, answering)
                except SplitwireError as exc:
                    result = self._failed(name, exc)
                pending.append(asyncio.create_task(result))
                await asyncio.sleep(
                    0
                )  # it waits for the answer from here on: cancelled, it cancels that as well
                while pending and (pending[0].done() or len(pending) > _UNANSWERED):
                    yield await pending.popleft()
            self.sender.flush()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()

    async def _load_ahead(
        self, pictures: Iterable[tuple[str, Picture]]
    ) -> AsyncIterator[tuple[str, asyncio.Task[Loaded]]]:
        ahead: deque[tuple[str, asyncio.Task[Loaded]]] = deque()
        try:
            for name, picture in pictures:
                loading = asyncio.to_thread(self.load, picture, name, self.deadline())
                ahead.append((name, asyncio.create_task(loading)))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, task in ahead:
                task.cancel()

    def deadline(self) -> Deadline:
        """Say until when a picture that begins now has to be answered."""
        return Deadline.after(self.settings.deadline_ms / 1e3)

    def load(self, picture: Picture, name: str, deadline: Deadline) -> Loaded:
        """Decode and prepare one picture; ``name``: what errors call it.

        Raises:
            PictureError: it can't be used.
            DecoderFailed: the process that decodes can't be started.

        """
        started = time.perf_counter()
        preparation = self.manifest.preparation
        seen = self.decoder(opened(picture, name), name, preparation.view, deadline.left())
        return Loaded(picture=normalise(seen, preparation), milliseconds=_since(started), deadline=deadline)

    async def encode(self, loaded: Loaded) -> Encoded:
        """Make the code of a picture.

        Raises:
            LatentInvalid: the head made of it what can't be coded.

        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.head_thread, self._encode_now, loaded)

    def _encode_now(self, loaded: Loaded) -> Encoded:
        started, own = time.perf_counter(), None
        outputs = self.head(loaded.picture)
        if self.manifest.fallback:
            own = task_of(self.manifest).prediction(outputs[CLASSES], self.settings.top)
        quality, output, reason = self.coder.choose(loaded.deadline.left())
        latent = outputs[output]
        head_ms, computed = _since(started), time.perf_counter()
        return Encoded(
            payload=self.coder.encode(latent, quality),
            quality=quality,
            reason=reason,
            own=own,
            timings_ms={"load": loaded.milliseconds, "head": head_ms, "encode": _since(computed)},
        )

    async def send(
        self, pictures: Sequence[tuple[str, Encoded]], deadline: Deadline
    ) -> list[Answered | BaseException]:
        """Send pictures, path and code, without waiting for others; give the answer of each, or what was raised.

        The fallback answers where it is sure enough, and where the cloud gives no answer in time and it may.
        """
        answering = [self._start(path, encoded, deadline) for path, encoded in pictures]
        self.sender.flush()
        return await asyncio.gather(*answering, return_exceptions=True)

    def _start(self, path: str, encoded: Encoded, deadline: Deadline) -> asyncio.Task[Answered]:
        own, confident = encoded.own, self.settings.confident
        if own and confident is not None and own.probability >= confident:
            return asyncio.create_task(self._answer_unsent(path, encoded, own))
        sending = self.sender.send(encoded.payload, encoded.quality, deadline.before(_FALLBACK_SECONDS))
        return asyncio.create_task(self._answer(path, encoded, sending))

    async def _answer_unsent(self, path: str, encoded: Encoded, own: Prediction) -> Answered:
        reason = f"at least {self.settings.confident:g} sure"
        answer = _own_answer(path, encoded, own, reason, encoded.timings_ms)
        return answer.model_copy(update={"payload_bytes": 0, "body_bytes": 0.0, "wire_bytes": 0.0})

    async def _answer(self, path: str, encoded: Encoded, sending: asyncio.Future[Sent]) -> Answered:
        started, own = time.perf_counter(), encoded.own
        try:
            sent = await sending
        except (CloudUnreachable, CloudBusy, CloudLate) as exc:
            if own is None or not self.settings.fallback:
                raise
            reason = f"{encoded.reason}; {exc}" if encoded.reason else str(exc)
            return _own_answer(path, encoded, own, reason, {**encoded.timings_ms, "network": _since(started)})
        timings = _with_total({**encoded.timings_ms, "network": _since(started)})
        return Answered(
            path=path,
            **dict(sent.prediction),
            quality=encoded.quality,
            payload_bytes=len(encoded.payload),
            body_bytes=sent.body_bytes,
            wire_bytes=sent.wire_bytes,
            source=self.sender.source,
            reason=encoded.reason,
            timings_ms={**timings, **sent.timings_ms.model_dump()},
            bundle=self.manifest.id,
        )

    async def _result(self, path: str, encoded: Encoded, answering: asyncio.Task[Answered]) -> Result:
        started = time.perf_counter()
        try:
            return await answering
        except SplitwireError as exc:
            timings = {**encoded.timings_ms, "network": _since(started)}
            return failed(path, exc, encoded, source=self.sender.source, timings_ms=timings)

    async def _failed(self, path: str, error: SplitwireError) -> Result:
        return failed(path, error, quality=self.coder.quality, source=self.sender.source)


def _own_answer(
    path: str, encoded: Encoded, own: Prediction, reason: str, timings_ms: dict[str, float]
) -> Answered:
    return Answered(
        path=path,
        **dict(own),
        quality=encoded.quality,
        payload_bytes=len(encoded.payload),
        source="device",
        reason=reason,
        timings_ms=_with_total(timings_ms),
    )


def _with_total(timings_ms: dict[str, float]) -> dict[str, float]:
    return {**timings_ms, "total": round(sum(timings_ms.values()), 3)}


def _since(started: float) -> float:
    return round(1e3 * (time.perf_counter() - started), 3)
