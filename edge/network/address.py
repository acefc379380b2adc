"""Where a cloud is, and what shows that this device may use it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy

import httpx

from splitwire.shared.errors import SettingsError, shown

_NEVER_BY_PROXY = ("embedded", "localhost", "127.0.0.1", "::1")
_NEEDLESS_HEADERS = ("Accept-Encoding", "Connection", "User-Agent")
"""What httpx sends by itself. No cloud of ours reads them, and none encodes what it answers."""
_IDLE_SECONDS = 13.0
"""How long a connection is kept for the next picture; clouds keep it a little longer."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """``url``: without user name and password, so that it can be shown. ``authorization``: a header's value."""

    url: str
    authorization: str | None = field(default=None, repr=False)


def address(url: str, key: str | None) -> Address:
    """Check a cloud's URL and key. A user name and password in the URL are for a proxy that wants them.

    Raises:
        SettingsError: not a URL, a key that can't be one, or a key and a password for one header.

    """
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
        raise SettingsError(f"--cloud '{_masked(url)}' is not a cloud's URL; write http://host:port")
    if not parsed.userinfo:
        key = (key or "").strip()
        if not (key.isascii() and key.isprintable()):
            raise SettingsError("the API key has characters that no key has; copy it again")
        return Address(url=url, authorization=f"Bearer {key}" if key else None)
    if key:
        raise SettingsError("--cloud has a user name and --key a key, but a request shows one; leave one out")
    credentials = f"{parsed.username}:{parsed.password}".encode()
    return Address(
        url=str(parsed.copy_with(userinfo=b"")),
        authorization=f"Basic {base64.b64encode(credentials).decode()}",
    )


def _masked(url: str) -> str:
    """Leave out what may be a password, in what may be no URL."""
    return shown(re.sub(r"^(.*?//)?.*@", r"\1", url, flags=re.DOTALL))


def open_client(
    cloud: Address, headers: dict[str, str] | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Build a client for one cloud; whoever asks sets limits of time. On this machine no proxy is asked.

    Raises:
        SettingsError: a proxy of the environment can't be used.

    """
    try:
        client = httpx.AsyncClient(
            base_url=cloud.url,
            headers=headers,
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
            timeout=None,  # noqa: S113 - see above
            transport=transport,
            trust_env=httpx.URL(cloud.url).host not in _NEVER_BY_PROXY,
        )
    except (ImportError, ValueError, httpx.InvalidURL) as exc:
        reason = "one is no URL" if isinstance(exc, httpx.InvalidURL) else exc
        raise SettingsError(
            f"the way to {cloud.url} can't be used ({reason}); check the proxy variables"
        ) from exc
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))
    for name in _NEEDLESS_HEADERS:
        del client.headers[name]
    if cloud.authorization:
        client.headers["Authorization"] = cloud.authorization
    return client
