"""The way to a cloud, and what comes back."""

from __future__ import annotations

import asyncio
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

_NEVER_BY_PROXY = ("embedded", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """An open way to one cloud."""

    client: httpx.AsyncClient
    url: str
    source: str
    """``cloud`` or ``embedded``, as records say it."""
    timeout: float
    """Seconds for a whole request."""

    async def infer(self, body: bytes, pictures: int, top: int) -> Answer:
        """Send a frame, wait for the answer.

        Raises:
            CloudUnreachable: no connection, or no answer in time.
            CloudRefused: an error, with the cloud's own words.
            CloudAnswerInvalid: what answered does not speak Splitwire, or not of these pictures.

        """
        try:
            async with asyncio.timeout(self.timeout):
                response = await self.client.post("/infer", params={"top": top}, content=body)
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise CloudUnreachable(
                self.url, "no answer in time; try again, or allow more with --timeout"
            ) from exc
        except httpx.RequestError as exc:
            reason = str(exc) or type(exc).__name__
            raise CloudUnreachable(
                self.url, f"{reason}; is cloud-server running there, and is it http or https?"
            ) from exc
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
        SettingsError: not a URL, a key or proxy that can't be used.
        PackagesMissing: no URL, and the cloud's packages are not installed.

    """
    headers = {
        "Content-Type": "application/octet-stream",
        "Deadline-Ms": str(round(settings.timeout * 1e3)),
    }
    if settings.key:
        key = settings.key.strip()
        if not (key.isascii() and key.isprintable()):
            raise SettingsError("the API key has characters that no key has; copy it again")
        headers["Authorization"] = f"Bearer {key}"
    async with AsyncExitStack() as stack:
        transport: httpx.AsyncBaseTransport | None = None
        url, source = EMBEDDED_URL, "embedded"
        if settings.cloud is None:
            transport = await stack.enter_async_context(embedded_cloud(settings.bundle))
        else:
            url, source = _checked(settings.cloud), "cloud"
        try:
            client = httpx.AsyncClient(
                base_url=url,
                headers=headers,
                timeout=settings.timeout,
                transport=transport,
                trust_env=httpx.URL(url).host not in _NEVER_BY_PROXY,
            )
        except (ImportError, ValueError) as exc:  # a proxy from the environment
            raise SettingsError(f"the way to {url} can't be used ({exc}); check the proxy variables") from exc
        await stack.enter_async_context(client)
        yield Connection(client=client, url=url, source=source, timeout=settings.timeout)


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
        usable = (
            parsed.scheme in {"http", "https"}
            and parsed.host
            and (parsed.port or 1) < 1 << 16
            and not parsed.query
            and not parsed.path.rstrip("/").endswith("/infer")
        )
    except (httpx.InvalidURL, UnicodeError):
        usable = False
    if not usable:
        raise SettingsError(f"--cloud {url!r} is not a cloud's URL; write http://host:port")
    return url
