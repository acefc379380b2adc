"""The device as a Python object."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread, main_thread
from typing import TYPE_CHECKING, Self, TypeVar, TypeVarTuple, Unpack

from anyio import CancelScope
from pydantic import ValidationError

from splitwire.edge.deadline import Deadline
from splitwire.edge.errors import ClientClosed
from splitwire.edge.pipeline import open_classifier
from splitwire.edge.settings import DeviceOptions, DeviceSettings
from splitwire.shared.errors import SettingsError, shown
from splitwire.shared.pictures.loading import read_file

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType

    from splitwire.edge.pipeline import Classifier
    from splitwire.edge.records import Record

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_LOOK_SECONDS = 0.2
"""How soon an open client sees that the program ends."""

Picture = str | Path | bytes
"""A file, or the bytes of one."""


class AsyncClient:
    """Classifies pictures with a cloud, from asynchronous code.

    Used as ``async with AsyncClient(...) as client``. It takes the settings of
    ``splitwire.edge.settings.DeviceSettings`` by name.
    """

    def __init__(self, **settings: Unpack[DeviceOptions]) -> None:
        """Check the settings.

        Raises:
            SettingsError: there is no setting of a name, or its value is not allowed.

        """
        self._settings = _checked(settings)
        self._stack = AsyncExitStack()
        self._classifier: Classifier | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: dict[CancelScope, asyncio.Event] = {}
        """Those under way, and what tells of their ends."""

    async def __aenter__(self) -> Self:
        """Load the device's half and open the way to the cloud.

        Raises:
            SplitwireError: see ``splitwire.edge.pipeline.open_classifier``.

        """
        self._loop = asyncio.get_running_loop()
        self._classifier = await self._stack.enter_async_context(open_classifier(self._settings))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; calls that are under way end with ``ClientClosed``."""
        self._classifier = None
        calls = dict(self._calls)
        for scope in calls:
            scope.cancel()
        for ended in calls.values():
            await ended.wait()
        await self._stack.__aexit__(kind, error, trace)

    async def classify(self, picture: Picture) -> Record:
        """Classify one picture.

        Raises:
            PictureError: it can't be read.
            CloudError: there is no answer.
            ClientClosed: the client is not open, or was closed meanwhile.

        """
        return await self._while_open(self._classify(self._open(), picture))

    async def _classify(self, classifier: Classifier, picture: Picture) -> Record:
        deadline = Deadline.after(self._settings.deadline_ms / 1e3)
        name = "picture" if isinstance(picture, bytes) else shown(Path(picture))
        data = picture if isinstance(picture, bytes) else await asyncio.to_thread(read_file, Path(picture))
        encoded = await classifier.encode(data, name, deadline)
        answer = asyncio.create_task(classifier.answer(name, encoded, deadline))
        await asyncio.sleep(0)  # let it enter the sender's queue
        classifier.sender.flush()
        return await answer

    async def classify_files(self, paths: Iterable[str | Path]) -> AsyncGenerator[Record]:
        """Give a record for every file, in order; what went wrong with one is in its record.

        Raises:
            ClientClosed: the client is not open, or was closed meanwhile.

        """
        async with aclosing(self._open().classify(map(Path, paths))) as records:
            while (record := await self._while_open(anext(records, None))) is not None:
                yield record

    async def _while_open(self, work: Awaitable[Result]) -> Result:
        with CancelScope() as scope:
            ended = self._calls[scope] = asyncio.Event()
            try:
                return await work
            finally:
                del self._calls[scope]
                ended.set()
        raise ClientClosed("the client was closed before there was an answer; close it when it is done")

    def _open(self) -> Classifier:
        if self._classifier is None or self._loop is not asyncio.get_running_loop():
            raise ClientClosed(
                "the client is not open in this event loop; use it as: async with AsyncClient(...) as client"
            )
        return self._classifier


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """An open client in an event loop of its own, whose thread closes it when the main thread has ended.

    A daemon's would be ended wherever it is, and C++ ends the whole process then.
    """

    client: AsyncClient
    loop: asyncio.AbstractEventLoop
    closing: asyncio.Event
    thread: Thread

    def start(
        self, work: Callable[[Unpack[Arguments]], Awaitable[Result]], *arguments: *Arguments
    ) -> Future[Result]:
        """Begin a call of the client."""

        async def call() -> Result:
            return await work(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self.loop)

    def close(self) -> None:
        """Close the client, end the loop and its thread."""
        self.begin_closing()
        self.thread.join()

    def __del__(self) -> None:
        """Let a client that nobody has any more close itself."""
        self.begin_closing()

    def begin_closing(self) -> None:
        """Tell the thread, if it is there: not in a fork's child, nor when the program ends."""
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.closing.set)


def _opened(settings: DeviceOptions) -> _Opened:
    client, closing = AsyncClient(**settings), asyncio.Event()
    opening: Future[asyncio.AbstractEventLoop] = Future()
    work = _keep_open(client, opening, closing)
    thread = Thread(target=asyncio.run, args=(work,), name="client")
    thread.start()
    return _Opened(client=client, loop=opening.result(), closing=closing, thread=thread)


async def _keep_open(
    client: AsyncClient, opening: Future[asyncio.AbstractEventLoop], closing: asyncio.Event
) -> None:
    try:
        async with client:
            opening.set_result(asyncio.get_running_loop())
            while main_thread().is_alive() and not closing.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(closing.wait(), _LOOK_SECONDS)
    except BaseException as exc:
        if opening.done():
            raise
        opening.set_exception(exc)  # it belongs to whoever opens


@dataclass
class _InProcess:
    """What one process has of a client; a fork's copy of its parent's can't be used, its thread is not there."""

    lock: Lock = field(default_factory=Lock)
    opened: _Opened | None = None

    def open(self, settings: DeviceOptions) -> _Opened:
        """Open the client, if it is not."""
        if self.opened is None:
            self.opened = _opened(settings)
        return self.opened


class Client:
    """Classifies pictures with a cloud; opened by its first use, closed by ``close`` or at the end of ``with``.

    It takes the settings of ``splitwire.edge.settings.DeviceSettings`` by name. Threads may share one. A fork opens its own.
    """

    def __init__(self, **settings: Unpack[DeviceOptions]) -> None:
        """Check the settings.

        Raises:
            SettingsError: there is no setting of a name, or its value is not allowed.

        """
        self._settings = settings
        self._processes: dict[int, _InProcess] = {}
        _checked(settings)

    def __enter__(self) -> Self:
        """Load the device's half and open the way to the cloud.

        Raises:
            SplitwireError: see ``splitwire.edge.pipeline.open_classifier``.

        """
        with self._here() as here:
            here.open(self._settings)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the way to the cloud; using the client again opens it again.

        Calls that are under way in other threads end with ``ClientClosed``.
        """
        with self._here() as here:
            opened, here.opened = here.opened, None
        if opened is not None:
            opened.close()

    def classify(self, picture: Picture) -> Record:
        """Classify one picture.

        Raises:
            PictureError: it can't be read.
            CloudError: there is no answer.
            ClientClosed: the client was closed meanwhile.
            SplitwireError: the client can't be opened; see ``splitwire.edge.pipeline.open_classifier``.

        """
        with self._here() as here:
            opened = here.open(self._settings)
            answer = opened.start(opened.client.classify, picture)
        return answer.result()

    def classify_files(self, paths: Iterable[str | Path]) -> Iterator[Record]:
        """Give a record for every file, in order; what went wrong with one is in its record.

        Raises:
            ClientClosed: the client was closed meanwhile.

        """
        with self._here() as here:
            opened = here.open(self._settings)
        records = opened.client.classify_files(paths)
        while (record := self._call(opened, anext, records, None)) is not None:
            yield record

    def _call(
        self,
        opened: _Opened,
        work: Callable[[Unpack[Arguments]], Awaitable[Result]],
        *arguments: *Arguments,
    ) -> Result:
        with self._here() as here:
            if here.opened is not opened:
                raise ClientClosed(
                    "the client was closed before there was an answer; close it when it is done"
                )
            answer = opened.start(work, *arguments)
        return answer.result()

    @contextmanager
    def _here(self) -> Iterator[_InProcess]:
        here = self._processes.setdefault(os.getpid(), _InProcess())
        with here.lock:
            yield here


def _checked(settings: DeviceOptions) -> DeviceSettings:
    try:
        return DeviceSettings.model_validate(settings)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"setting {name}: {first['msg'].lower()}") from exc
