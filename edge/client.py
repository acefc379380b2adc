"""The device as a Python object."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, ExitStack, aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self, TypeVar, TypeVarTuple, Unpack

from anyio import CancelScope
from anyio.from_thread import start_blocking_portal
from pydantic import ValidationError

from edge.classify import open_classifier
from edge.deadline import Deadline
from edge.settings import DeviceOptions, DeviceSettings
from shared.errors import ClientClosed, SettingsError, shown
from shared.picture import read_file

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType

    from anyio.from_thread import BlockingPortal

    from edge.classify import Classifier
    from edge.records import Record

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

Picture = str | Path | bytes
"""A file, or the bytes of one."""


class AsyncClient:
    """Classifies pictures with a cloud, from asynchronous code.

    Used as ``async with AsyncClient(...) as client``. It takes the settings of
    ``edge.settings.DeviceSettings`` by name.
    """

    def __init__(self, **settings: Unpack[DeviceOptions]) -> None:
        """Check the settings.

        Raises:
            SettingsError: there is no setting of a name, or its value is not allowed.

        """
        self._settings = _checked(settings)
        self._stack = AsyncExitStack()
        self._classifier: Classifier | None = None
        self._calls: dict[CancelScope, asyncio.Event] = {}
        """Those under way, and what tells of their ends."""

    async def __aenter__(self) -> Self:
        """Load the device's half and open the way to the cloud.

        Raises:
            SplitwireError: see ``edge.classify.open_classifier``.

        """
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
        if self._classifier is None:
            raise ClientClosed("the client is not open; use it as: async with AsyncClient(...) as client")
        return self._classifier


@dataclass(frozen=True, kw_only=True)
class _Opened:
    client: AsyncClient
    portal: BlockingPortal
    stack: ExitStack


@dataclass
class _InProcess:
    """What one process has of a client; a fork's copy of its parent's can't be used, its threads are not there."""

    lock: Lock = field(default_factory=Lock)
    opened: _Opened | None = None


class Client:
    """Classifies pictures with a cloud; opened by its first use, closed by ``close`` or at the end of ``with``.

    It takes the settings of ``edge.settings.DeviceSettings`` by name. Threads may share one. A fork opens its own.
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
            SplitwireError: see ``edge.classify.open_classifier``.

        """
        with self._here() as here:
            _open(here, self._settings)
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
            opened.stack.close()

    def classify(self, picture: Picture) -> Record:
        """Classify one picture.

        Raises:
            PictureError: it can't be read.
            CloudError: there is no answer.
            ClientClosed: the client was closed meanwhile.
            SplitwireError: the client can't be opened; see ``edge.classify.open_classifier``.

        """
        with self._here() as here:
            opened = _open(here, self._settings)
            answer = opened.portal.start_task_soon(opened.client.classify, picture)
        return answer.result()

    def classify_files(self, paths: Iterable[str | Path]) -> Iterator[Record]:
        """Give a record for every file, in order; what went wrong with one is in its record.

        Raises:
            ClientClosed: the client was closed meanwhile.

        """
        with self._here() as here:
            opened = _open(here, self._settings)
        records = opened.client.classify_files(paths)
        try:
            while (record := self._call(opened, anext, records, None)) is not None:
                yield record
        finally:
            with suppress(ClientClosed):  # and so are they
                self._call(opened, records.aclose)

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
            answer = opened.portal.start_task_soon(work, *arguments)
        return answer.result()

    @contextmanager
    def _here(self) -> Iterator[_InProcess]:
        here = self._processes.setdefault(os.getpid(), _InProcess())
        with here.lock:
            yield here


def _open(here: _InProcess, settings: DeviceOptions) -> _Opened:
    if here.opened is None:
        with ExitStack() as stack:
            client = AsyncClient(**settings)
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(client))
            here.opened = _Opened(client=client, portal=portal, stack=stack.pop_all())
    return here.opened


def _checked(settings: DeviceOptions) -> DeviceSettings:
    try:
        return DeviceSettings.model_validate(settings)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"setting {name} = {first['input']!r}: {first['msg'].lower()}") from exc
