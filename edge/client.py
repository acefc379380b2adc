"""The device as a Python object."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock, Thread, main_thread
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, TypeVarTuple, Unpack

from anyio import CancelScope

from splitwire.edge.errors import ClientClosed
from splitwire.edge.pipeline import open_pipeline
from splitwire.edge.settings import DeviceSettings
from splitwire.edge.sources import name_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType

    from splitwire.edge.pipeline import Pipeline
    from splitwire.edge.results import Answered, Result
    from splitwire.edge.sources import Picture

Value = TypeVar("Value")
Arguments = TypeVarTuple("Arguments")
Options = ParamSpec("Options")

_LOOK_SECONDS = 0.2
"""How soon an open client sees that the program ends."""
_CLOSED = "the client was closed before there was an answer; close it when it is done"


def _takes(
    _: Callable[Options, DeviceSettings],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, Options], None]]:
    """Tell type checkers that a function takes the fields of the settings by name."""
    return lambda function: function


class AsyncClient:
    """Classifies pictures with a cloud, from asynchronous code.

    Used as ``async with AsyncClient(...) as client``. It takes the settings of
    ``splitwire.edge.settings.DeviceSettings`` by name.
    """

    @_takes(DeviceSettings)
    def __init__(self, **settings: object) -> None:
        """Check the settings.

        Raises:
            SettingsError: there is no setting of a name, or its value is not allowed.

        """
        self._settings = DeviceSettings(**settings)
        self._stack = AsyncExitStack()
        self._pipeline: Pipeline | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: dict[CancelScope, asyncio.Event] = {}
        """Calls under way, each with what is set when it has ended."""

    async def __aenter__(self) -> Self:
        """Load the device's half and open the way to the cloud.

        Raises:
            SplitwireError: see ``splitwire.edge.pipeline.open_pipeline``.

        """
        self._loop = asyncio.get_running_loop()
        self._pipeline = await self._stack.enter_async_context(open_pipeline(self._settings))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; calls that are under way end with ``ClientClosed``."""
        self._pipeline = None
        calls = dict(self._calls)
        for scope in calls:
            scope.cancel()
        for ended in calls.values():
            await ended.wait()
        await self._stack.__aexit__(kind, error, trace)

    async def classify(self, picture: Picture) -> Answered:
        """Classify one picture: a file's path, bytes or the open file, a PIL image, or an array; see ``splitwire.edge.sources``.

        Raises:
            PictureError: it can't be read.
            CloudError: there is no answer.
            ClientClosed: the client is not open, or was closed meanwhile.

        """
        return await self._while_open(self._classify(self._open(), picture))

    async def _classify(self, pipeline: Pipeline, picture: Picture) -> Answered:
        name = name_of(picture, "picture")
        loaded = await asyncio.to_thread(pipeline.load, picture, name, pipeline.deadline())
        encoded = await pipeline.encode(loaded)
        (answer,) = await pipeline.send([(name, encoded)], loaded.deadline)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def classify_files(self, pictures: Iterable[Picture]) -> AsyncGenerator[Result]:
        """Give a result for every picture, in order: ``Answered``, or ``Failed`` for one that has no answer.

        ``path`` of a result is "picture 3" for the third one, where that is none of a file.

        Raises:
            ClientClosed: the client is not open, or was closed meanwhile.

        """
        named = ((name_of(each, f"picture {number}"), each) for number, each in enumerate(pictures, start=1))
        async with aclosing(self._open().classify(named)) as results:
            while (result := await self._while_open(anext(results, None))) is not None:
                yield result

    async def _while_open(self, work: Awaitable[Value]) -> Value:
        with CancelScope() as scope:
            ended = self._calls[scope] = asyncio.Event()
            try:
                return await work
            finally:
                del self._calls[scope]
                ended.set()
        raise ClientClosed(_CLOSED)

    def _open(self) -> Pipeline:
        if self._pipeline is None or self._loop is not asyncio.get_running_loop():
            raise ClientClosed(
                "the client is not open in this event loop; use it as: async with AsyncClient(...) as client"
            )
        return self._pipeline


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """An open client in a thread with an event loop of its own.

    The thread closes the client when the main thread has ended. It is no daemon: one would be ended wherever it is,
    and C++ ends the whole process then.
    """

    client: AsyncClient
    loop: asyncio.AbstractEventLoop
    closing: asyncio.Event
    thread: Thread

    def start(
        self, work: Callable[[Unpack[Arguments]], Awaitable[Value]], *arguments: *Arguments
    ) -> Future[Value]:
        """Begin a call of the client."""

        async def call() -> Value:
            return await work(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self.loop)

    def close(self) -> None:
        """Close the client, end the loop and its thread."""
        self.__del__()
        self.thread.join()

    def __del__(self) -> None:
        """Tell the thread to close the client, if it is there: not in a fork's child, nor when the program ends."""
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.closing.set)


def _open(settings: dict[str, Any]) -> _Opened:
    client, closing = AsyncClient(**settings), asyncio.Event()
    opening: Future[asyncio.AbstractEventLoop] = Future()
    thread = Thread(target=asyncio.run, args=(_keep_open(client, opening, closing),), name="client")
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
    """The open client of one process: a fork can't use its parent's, whose thread it does not have."""

    lock: Lock = field(default_factory=Lock)
    opened: _Opened | None = None


class Client:
    """Classifies pictures with a cloud; opened by its first use, closed by ``close`` or at the end of ``with``.

    It takes the settings of ``splitwire.edge.settings.DeviceSettings`` by name. Threads may share one. A fork opens its own.
    """

    @_takes(DeviceSettings)
    def __init__(self, **settings: object) -> None:
        """Check the settings.

        Raises:
            SettingsError: there is no setting of a name, or its value is not allowed.

        """
        DeviceSettings(**settings)
        self._settings = settings
        self._processes: dict[int, _InProcess] = {}

    def __enter__(self) -> Self:
        """Load the device's half and open the way to the cloud.

        Raises:
            SplitwireError: see ``splitwire.edge.pipeline.open_pipeline``.

        """
        with self._opened():
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

    def classify(self, picture: Picture) -> Answered:
        """Classify one picture: a file's path, bytes or the open file, a PIL image, or an array; see ``splitwire.edge.sources``.

        Raises:
            PictureError: it can't be read.
            CloudError: there is no answer.
            ClientClosed: the client was closed meanwhile.
            SplitwireError: the client can't be opened; see ``splitwire.edge.pipeline.open_pipeline``.

        """
        with self._opened() as opened:
            answer = opened.start(opened.client.classify, picture)
        return answer.result()

    def classify_files(self, pictures: Iterable[Picture]) -> Iterator[Result]:
        """Give a result for every picture, in order: ``Answered``, or ``Failed`` for one that has no answer.

        ``path`` of a result is "picture 3" for the third one, where that is none of a file.

        Raises:
            ClientClosed: the client was closed meanwhile.

        """
        with self._opened() as opened:
            results = opened.client.classify_files(pictures)
        while True:
            with self._here() as here:
                if here.opened is not opened:
                    raise ClientClosed(_CLOSED)
                following = opened.start(anext, results, None)
            if (result := following.result()) is None:
                return
            yield result

    @contextmanager
    def _opened(self) -> Iterator[_Opened]:
        """Open the client, if it is not, and keep others from closing it meanwhile."""
        with self._here() as here:
            if here.opened is None:
                here.opened = _open(self._settings)
            yield here.opened

    @contextmanager
    def _here(self) -> Iterator[_InProcess]:
        here = self._processes.setdefault(os.getpid(), _InProcess())
        with here.lock:
            yield here
