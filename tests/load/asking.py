"""The least of a client: a request out, an answer in, on connections that are kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

_HEAD = b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"


class Reply(NamedTuple):
    """An answer: its status, its headers in lower case, and its body."""

    status: int
    head: bytes
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Asks one cloud; as many times at once as it is called. ``address``: where it asks from, of loopback."""

    url: httpx.URL
    address: str = "127.0.0.1"
    _free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def infer(self, body: bytes) -> Reply:
        """Send a frame, or what is none.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection broke.

        """
        reader, writer = await self._connection()
        writer.write(_HEAD % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, _, length = head.partition(b"content-length: ")
        answer = await reader.readexactly(int(length.partition(b"\r")[0]))
        if b"connection: close" not in head:
            self._free.append((reader, writer))
        return Reply(int(head[9:12]), head, answer)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof():  # a server closes what was idle for long
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.url.host, self.url.port, local_addr=(self.address, 0))

    def close(self) -> None:
        """Close what is kept."""
        for _, writer in self._free:
            writer.close()
