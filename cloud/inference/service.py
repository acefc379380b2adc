"""The one way in: from a frame's bytes to the classes of its pictures, whatever transport brought them."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from splitwire.cloud.errors import NotReady
from splitwire.cloud.inference.admission import Admission, network_of
from splitwire.cloud.inference.batcher import Batcher
from splitwire.cloud.inference.device_files import DeviceFiles
from splitwire.cloud.inference.engine import Engine
from splitwire.cloud.inference.keys import Keys
from splitwire.cloud.inference.room import Room
from splitwire.cloud.metrics import Metrics
from splitwire.shared.bundle import load_bundle
from splitwire.shared.errors import PayloadInvalid
from splitwire.shared.frame import unpack
from splitwire.shared.messages import LoadedBundle, Model, Timings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from splitwire.cloud.settings import CloudSettings
    from splitwire.shared.messages import Likely
    from splitwire.shared.task import Classification

    Admit = Callable[[int], None]

_SECONDS_A_PROOF_HOLDS = 1.0


class Asked(NamedTuple):
    """What a caller asks for: a frame's pictures, so many of the likeliest classes for each, and by when.

    ``deadline``: ``time.monotonic()`` seconds; None where the caller waits for as long as it takes.
    """

    frame: bytes
    top: int
    deadline: float | None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is there while the cloud runs."""

    model: Model
    engine: Engine
    files: DeviceFiles
    keys: Keys
    batcher: Batcher
    frame_bytes: int
    """The longest body that is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """What came of a frame: for each picture its likeliest classes, in order."""

    pictures: list[list[Likely]]
    task: Classification
    bundle: str
    quality: str
    device: str
    timings_ms: Timings


class Service:
    """Everything that one cloud's requests share.

    starting ──running()──> ready ──refuse(), drop()──> draining ──its end──> stopped

    ``clock``: seconds; ``time.monotonic`` unless a test has its own.
    """

    def __init__(self, settings: CloudSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._clock = clock
        self._bodies = Room(settings.body_bytes)
        self.metrics.bodies.set_function(lambda: self._bodies.used)
        self._parts: Parts | None = None
        self._draining = False
        self._frames = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._proving = asyncio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load and warm up everything, and at the end answer what waits.

        Raises:
            SplitwireError: bundles, device or keys can't be used.

        """
        keys = Keys(self.settings.key_file, clock=self._clock)
        model, engine, files = await asyncio.to_thread(_load, self.settings)
        batcher = Batcher(
            engine,
            queue_pictures=self.settings.queue_pictures,
            batch_pictures=self.settings.batch_pictures,
            batch_done=self.metrics.batch_done,
            only_core=engine.has_only_core,
            clock=self._clock,
        )
        batcher.start()
        self.metrics.queue.set_function(lambda: batcher.depth)
        self._parts = Parts(
            model=model,
            engine=engine,
            files=files,
            keys=keys,
            batcher=batcher,
            frame_bytes=engine.longest_frame(),
        )
        try:
            yield
        finally:
            self.refuse()
            self._parts = None
            await batcher.close()
            self.metrics.queue.set_function(lambda: 0)  # lets go of the batcher, and so of the models

    def refuse(self) -> None:
        """Be not ready and admit no frame, from now on; those that have been admitted are still answered."""
        self._draining = True

    def drop(self) -> None:
        """Refuse what has been admitted as well, but for the batch in work."""
        self.refuse()
        if self._parts is not None:
            self._parts.batcher.drop()

    async def answered(self) -> None:
        """Wait until no admitted frame is without an answer, those that are still arriving included."""
        await self._idle.wait()

    @property
    def _running_parts(self) -> Parts:
        if self._parts is None:
            raise NotReady("starting or stopping")
        return self._parts

    def parts(self, authorization: bytes) -> Parts:
        """Check a caller's key and return what the cloud runs on.

        Raises:
            NotReady: the server is starting or has stopped.
            KeyMissing, KeyWrong: see ``splitwire.cloud.inference.keys``.

        """
        self._running_parts.keys.check(authorization)
        return self._running_parts

    async def infer(
        self,
        read: Callable[[Admit], Awaitable[Asked]],
        *,
        authorization: bytes,
        address: str,
        noted: dict[str, Any],
    ) -> Inference:
        """Classify every picture of a frame.

        Args:
            read: reads what is asked for, once the key is checked. It is given a function to call with the
                body's size, before that is read, or whenever it turns out to be larger.
            authorization: ``Bearer KEY``, where keys are asked for.
            address: the caller's IP address. Without keys, all callers of its network share what one may have.
            noted: gets the frame's bundle, quality, pictures and size, for the log.

        Raises:
            NotReady: the server is starting or stopping.
            KeyMissing, KeyWrong: see ``splitwire.cloud.inference.keys``.
            BodyTooLarge: no frame of what is loaded is so long.
            QueueFull: there is no room for the body, or as many pictures wait as may.
            FrameError: it is no frame, or has values that are too large for the network.
            FingerprintUnknown: no loaded bundle decodes it.
            DeadlinePassed: the model would have started after the deadline.
            RuntimeError: the model failed.
            Exception: what ``read`` raises.

        """
        with self._admitted(authorization, address) as (parts, admission):
            frame, top, deadline = await read(admission.admit)
            started = time.monotonic()
            size, unpacked = len(frame), unpack(frame)
            loaded = parts.engine.loaded(unpacked.fingerprint)
            bundle, quality, pictures = loaded.manifest.id, loaded.quality, len(unpacked.payloads)
            noted.update(bundle=bundle, quality=quality, pictures=pictures, body_bytes=size)
            caller, large = admission.caller, admission.large
            parts.batcher.check_room(caller, pictures, large=large)  # before the work of decoding
            decoded = loaded.decode(unpacked)
            del frame, unpacked  # what waits is kept once
            seconds = time.monotonic() - started
            ranked = await parts.batcher.submit(decoded, caller, deadline, large=large)
            likeliest = loaded.task.likeliest(ranked.classes, ranked.probabilities, top)
            if not all(math.isfinite(picture[0].probability) for picture in likeliest):
                raise PayloadInvalid(quality, "values too large for the network")
            self.metrics.frame_done(
                bundle, quality, pictures=pictures, body_bytes=size, decoded=seconds, queued=ranked.queued
            )
            return Inference(
                pictures=likeliest,
                task=loaded.task,
                bundle=bundle,
                quality=quality,
                device=parts.model.device,
                timings_ms=Timings(
                    decode=round(1e3 * seconds, 3),
                    queue=round(1e3 * ranked.queued, 3),
                    tail=round(1e3 * ranked.computed, 3),
                ),
            )

    @contextmanager
    def _admitted(self, authorization: bytes, address: str) -> Iterator[tuple[Parts, Admission]]:
        """Count a frame, with the bytes that its body takes, until it is answered."""
        parts = self._running_parts
        key = parts.keys.check(authorization)
        if self._draining:
            raise NotReady("stopping")
        admission = Admission(key or network_of(address), self._bodies, parts.batcher, parts.frame_bytes)
        self._frames += 1
        self._idle.clear()
        try:
            yield parts, admission
        finally:
            admission.end()
            self._frames -= 1
            if not self._frames:
                self._idle.set()

    async def prove_ready(self) -> None:
        """Make sure that every tail works: that it has within the last second, or does now.

        Who asks meanwhile waits for the same forward passes: strangers can't keep the model busy.

        Raises:
            NotReady: the server is starting or stopping.
            RuntimeError: the model failed.

        """
        async with self._proving:
            engine, batcher = self._running_parts.engine, self._running_parts.batcher
            if self._draining:
                raise NotReady("stopping")
            for blank in engine.blanks():
                if self._clock() - batcher.worked(blank.fingerprint) > _SECONDS_A_PROOF_HOLDS:
                    await batcher.submit(blank, None)


def _load(settings: CloudSettings) -> tuple[Model, Engine, DeviceFiles]:
    bundles = [load_bundle(path, "cloud") for path in dict.fromkeys(settings.bundles)]
    engine = Engine(bundles, settings.device)
    files = DeviceFiles(bundles)
    engine.warm_up()
    model = Model(
        device=str(engine.device),
        precision=str(engine.precision).removeprefix("torch."),
        bundles=tuple(
            LoadedBundle(
                manifest=bundle.manifest,
                fingerprints={
                    quality: f"{bundle.manifest.fingerprint(quality):08x}"
                    for quality in bundle.manifest.qualities
                },
            )
            for bundle in bundles
        ),
    )
    return model, engine, files
