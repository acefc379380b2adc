"""The way to a cloud, and what comes back."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError

from edge.embedded import URL as EMBEDDED_URL
from edge.embedded import embedded_cloud
from shared.errors import CloudAnswerInvalid, CloudRefused, CloudUnreachable, SettingsError
from shared.messages import Answer, ErrorAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edge.settings import DeviceSettings


@dataclass(frozen=True, kw_only=True)
class Connection:
    """An open way to one cloud."""

    client: httpx.AsyncClient
    url: str
    source: str
    """``cloud`` or ``embedded``, as records say it."""

    async def infer(self, body: bytes, pictures: int, top: int) -> Answer:
        """Send a frame, wait for the answer.

        Raises:
            CloudUnreachable: no connection, or no answer in time.
            CloudRefused: an error, with the cloud's own words.
            CloudAnswerInvalid: what answered does not speak Splitwire, or not of these pictures.

        """
        try:
            response = await self.client.post("/infer", params={"top": top}, content=body)
        except httpx.TimeoutException as exc:
            raise CloudUnreachable(
                self.url, "no answer in time; try again, or allow more with --timeout"
            ) from exc
        except httpx.TransportError as exc:
            reason = str(exc) or type(exc).__name__
            raise CloudUnreachable(self.url, f"{reason}; is cloud-server running there?") from exc
        return self._answer(response, pictures)

    def _answer(self, response: httpx.Response, pictures: int) -> Answer:
        try:
            if response.status_code != httpx.codes.OK:
                refusal = ErrorAnswer.model_validate_json(response.content)
                raise CloudRefused(self.url, response.status_code, refusal.message)
            answer = Answer.model_validate_json(response.content)
        except ValidationError as exc:
            raise CloudAnswerInvalid(
                self.url, f"HTTP {response.status_code} without a Splitwire answer; is the URL a cloud's?"
            ) from exc
        if len(answer.predictions) != pictures:
            raise CloudAnswerInvalid(
                self.url, f"{len(answer.predictions)} answers for {pictures} pictures; use the same release"
            )
        return answer


@asynccontextmanager
async def connect(settings: DeviceSettings) -> AsyncIterator[Connection]:
    """Open the way to a cloud; without a URL, to one inside this process.

    Raises:
        SettingsError: not a URL.
        PackagesMissing: no URL, and the cloud's packages are not installed.

    """
    headers = {
        "Content-Type": "application/octet-stream",
        "Deadline-Ms": str(round(settings.timeout * 1e3)),
    }
    if settings.key:
        headers["Authorization"] = f"Bearer {settings.key}"
    async with AsyncExitStack() as stack:
        if settings.cloud is None:
            transport = await stack.enter_async_context(embedded_cloud(settings.bundle))
            url, source = EMBEDDED_URL, "embedded"
        else:
            transport, url, source = None, _checked(settings.cloud), "cloud"
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, headers=headers, timeout=settings.timeout, transport=transport)
        )
        yield Connection(client=client, url=url, source=source)


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise SettingsError(f"--cloud {url!r} is not a URL ({exc}); write http://host:port") from exc
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise SettingsError(f"--cloud {url!r} is not a URL; write http://host:port")
    return url
