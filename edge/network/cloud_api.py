"""A cloud's API beside /infer: its description, and the files of its bundles."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, BinaryIO, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from splitwire.edge.errors import CloudAnswerInvalid
from splitwire.edge.network.address import address, open_client
from splitwire.edge.network.exceptions import map_exceptions, refusal
from splitwire.edge.network.response import chunks, read
from splitwire.shared.errors import LONGEST_SHOWN, shown
from splitwire.shared.messages import BundleList, Health, Model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from splitwire.shared.messages import BundleFile

AnyMessage = TypeVar("AnyMessage", bound=BaseModel)

MAX_DESCRIPTION_BYTES = 4 << 20
"""Of a cloud's bundles and of itself."""
_LEAST_BYTES = 8192
"""What a file has to bring in each span of ``seconds``."""


class CloudApi:
    """Asks one cloud; used as ``async with CloudApi(...) as api``.

    ``seconds``: for each description; a file has them again whenever it has brought 8 KiB more.
    """

    def __init__(self, cloud: str, key: str | None, seconds: float) -> None:
        """Check where the cloud is.

        Raises:
            SettingsError: the URL, the key or a proxy can't be used.

        """
        where = address(cloud, key)
        self.url = where.url
        self._client = open_client(where)
        self._seconds = seconds

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def bundles(self) -> BundleList:
        """List what can be fetched.

        Raises:
            CloudError: the cloud can't be reached, refuses, or has no such list.

        """
        return await self._describe("/bundles", BundleList)

    async def model(self) -> Model:
        """Describe what it computes with; raises what ``bundles`` does."""
        return await self._describe("/model", Model)

    async def ready(self) -> Health:
        """Find out whether it works; raises what ``bundles`` does."""
        return await self._describe("/readyz", Health)

    async def fetch(self, bundle: str, file: BundleFile, into: BinaryIO) -> None:
        """Write a file's bytes as they come: those that were announced, if it is one.

        Raises:
            CloudError: the cloud can't be reached, refuses, is too slow, or sends more.
            OSError: they can't be written.

        """
        async with self._asked(f"/bundles/{bundle}/{file.path}") as (response, limit):
            new = 0
            async for chunk in chunks(self.url, response, file.bytes):
                into.write(chunk)
                new += len(chunk)
                if new >= _LEAST_BYTES:
                    new = 0
                    limit.reschedule(asyncio.get_running_loop().time() + self._seconds)

    async def _describe(self, path: str, kind: type[AnyMessage]) -> AnyMessage:
        async with self._asked(path) as (response, _):
            body = await read(self.url, response, MAX_DESCRIPTION_BYTES)
        try:
            return kind.model_validate_json(body)
        except ValidationError as exc:
            what = shown(exc.errors()[0]["msg"].lower(), LONGEST_SHOWN)
            raise CloudAnswerInvalid(
                self.url, f"what it says of {path} is not usable ({what}); is the URL a cloud's?"
            ) from exc

    @asynccontextmanager
    async def _asked(self, path: str) -> AsyncIterator[tuple[httpx.Response, asyncio.Timeout]]:
        late = f"{path} came too slowly, or not within {self._seconds:g} s; try again"
        with map_exceptions(self.url, late, unreachable="is it running?"):
            async with asyncio.timeout(self._seconds) as limit, self._client.stream("GET", path) as response:
                if response.status_code != httpx.codes.OK:
                    raise refusal(self.url, response, await read(self.url, response, MAX_DESCRIPTION_BYTES))
                yield response, limit
