"""The cloud's parts between start and stop."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splitwire.cloud.errors import NotReady
from splitwire.cloud.inference.admission import Admission
from splitwire.cloud.inference.batcher import Batcher
from splitwire.cloud.inference.caller import caller_of
from splitwire.cloud.inference.device_files import DeviceFiles
from splitwire.cloud.inference.engine import Engine
from splitwire.cloud.inference.keys import Keys
from splitwire.cloud.inference.room import Room
from splitwire.cloud.metrics import Metrics
from splitwire.shared.bundle import load_bundle
from splitwire.shared.messages import LoadedBundle, Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from splitwire.cloud.settings import CloudSettings

_SECONDS_A_PROOF_HOLDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is there while the cloud runs."""

    model: Model
    engine: Engine
    files: DeviceFiles
    keys: Keys
    batcher: Batcher


class Service:
    """Everything that one application's requests share.

    start ──> ready ──refuse──> draining ──stop──> stopped
    """

    def __init__(self, settings: CloudSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._bodies = Room(settings.body_bytes)
        self.metrics.watch_bodies(lambda: self._bodies.used)
        self._parts: Parts | None = None
        self._draining = False
        self._frames = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._proving = asyncio.Lock()

    async def start(self) -> None:
        """Load and warm up everything.

        Raises:
            SplitwireError: bundles, device or keys can't be used.

        """
        keys = Keys(self.settings.key_file)
        model, engine, files = await asyncio.to_thread(_load, self.settings)
        batcher = Batcher(
            engine,
            queue_pictures=self.settings.queue_pictures,
            batch_pictures=self.settings.batch_pictures,
            batch_done=self.metrics.batch_done,
            only_core=engine.has_only_core,
        )
        batcher.start()
        self.metrics.watch_queue(lambda: batcher.depth)
        self._parts = Parts(model=model, engine=engine, files=files, keys=keys, batcher=batcher)

    def refuse(self) -> None:
        """Be not ready and admit no frame, from now on; those that have been admitted are still answered."""
        self._draining = True

    def drop(self) -> None:
        """Refuse what has been admitted as well, but for the batch in work."""
        self.refuse()
        if self._parts is not None:
            self._parts.batcher.drop()

    async def stop(self) -> None:
        """Answer what waits, then let go of everything."""
        self.refuse()
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.batcher.close()
            self.metrics.watch_queue(lambda: 0)  # lets go of the batcher, and so of the models

    def parts(self, authorization: bytes) -> Parts:
        """Give a request with that header what it needs, if it may have it.

        Raises:
            NotReady: the server is starting or has stopped.
            KeyMissing, KeyWrong: see ``splitwire.cloud.inference.keys``.

        """
        if self._parts is None:
            raise NotReady("starting or stopping")
        self._parts.keys.check(authorization)
        return self._parts

    async def answered(self) -> None:
        """Wait until no admitted frame is without an answer, those that are still arriving included."""
        await self._idle.wait()

    @contextmanager
    def admitted(self, authorization: bytes, address: str) -> Iterator[tuple[Parts, Admission]]:
        """Give a frame what it needs, and count it, with the bytes that its body takes, until it is answered.

        Raises:
            NotReady: the server is starting or stopping.
            KeyMissing, KeyWrong: see ``splitwire.cloud.inference.keys``.

        """
        parts = self.parts(authorization)
        if self._draining:
            raise NotReady("stopping")
        caller = caller_of(authorization, address, keyed=self.settings.key_file is not None)
        admission = Admission(caller, self._bodies, parts.batcher)
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
            Exception: what the model failed with.

        """
        async with self._proving:
            if self._parts is None or self._draining:
                raise NotReady("starting or stopping")
            engine, batcher = self._parts.engine, self._parts.batcher
            for blank in engine.blanks():
                if time.monotonic() - batcher.worked(blank.fingerprint) > _SECONDS_A_PROOF_HOLDS:
                    await batcher.probe(blank)


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
