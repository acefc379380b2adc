"""The device as a Python object."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from anyio.from_thread import start_blocking_portal
from pydantic import ValidationError

from edge.classify import open_classifier
from edge.deadline import Deadline
from edge.settings import DeviceOptions, DeviceSettings
from shared.errors import SettingsError, shown
from shared.picture import read_file

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator
    from types import TracebackType

    from anyio.from_thread import BlockingPortal

    from edge.classify import Classifier
    from edge.records import Record

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
        """Close it."""
        self._classifier = None
        await self._stack.__aexit__(kind, error, trace)

    async def classify(self, picture: Picture) -> Record:
        """Classify one picture.

        Raises:
            PictureError: it can't be read.
            CloudError: there is no answer.

        """
        classifier = self._open()
        deadline = Deadline.after(self._settings.deadline_ms / 1e3)
        name = "picture" if isinstance(picture, bytes) else shown(Path(picture))
        data = picture if isinstance(picture, bytes) else await asyncio.to_thread(read_file, Path(picture))
        encoded = await classifier.encode(data, name, deadline)
        answer = asyncio.create_task(classifier.answer(name, encoded, deadline))
        await asyncio.sleep(0)  # let it enter the sender's queue
        classifier.sender.flush()
        return await answer

    async def classify_files(self, paths: Iterable[str | Path]) -> AsyncGenerator[Record]:
        """Give a record for every file, in order; what went wrong with one is in its record."""
        async for record in self._open().classify(map(Path, paths)):
            yield record

    def _open(self) -> Classifier:
        if self._classifier is None:
            raise SettingsError("the client is not open; use it as: async with AsyncClient(...) as client")
        return self._classifier


class Client:
    """Classifies pictures with a cloud; opened by its first use, closed by ``close`` or at the end of ``with``.

    It takes the settings of ``edge.settings.DeviceSettings`` by name.
    """

    def __init__(self, **settings: Unpack[DeviceOptions]) -> None:
        """Check the settings.

        Raises:
            SettingsError: there is no setting of a name, or its value is not allowed.

        """
        self._client = AsyncClient(**settings)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        """Load the device's half and open the way to the cloud.

        Raises:
            SplitwireError: see ``edge.classify.open_classifier``.

        """
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the way to the cloud; using the client again opens it again."""
        self._portal = None
        self._stack.close()

    def classify(self, picture: Picture) -> Record:
        """Classify one picture.

        Raises:
            PictureError: it can't be read.
            CloudError: there is no answer.
            SplitwireError: the client can't be opened; see ``edge.classify.open_classifier``.

        """
        return self._open().call(self._client.classify, picture)

    def classify_files(self, paths: Iterable[str | Path]) -> Iterator[Record]:
        """Give a record for every file, in order; what went wrong with one is in its record."""
        portal, records = self._open(), self._client.classify_files(paths)
        try:
            while True:
                try:
                    yield portal.call(anext, records)
                except StopAsyncIteration:
                    return
        finally:
            portal.call(records.aclose)

    def _open(self) -> BlockingPortal:
        if self._portal is None:
            with ExitStack() as stack:
                portal = stack.enter_context(start_blocking_portal())
                opened: AbstractContextManager[AsyncClient] = portal.wrap_async_context_manager(self._client)
                stack.enter_context(opened)
                self._stack = stack.pop_all()
            self._portal = portal
        return self._portal


def _checked(settings: DeviceOptions) -> DeviceSettings:
    try:
        return DeviceSettings.model_validate(settings)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"setting {name} = {first['input']!r}: {first['msg'].lower()}") from exc
