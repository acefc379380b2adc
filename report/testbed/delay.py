"""A TCP proxy that delays all bytes, each way: ``python -m splitwire.report.testbed.delay HOST PORT TO_PORT MILLISECONDS``.

It stands in for netem where the kernel has none. Opening and closing a connection is delayed like bytes are.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

CHUNK_BYTES = 65_536


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Copy until the end of the stream, each chunk ``delay`` seconds after it came."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1024)

    async def receive() -> None:
        data = b"more"
        while data:
            data = await reader.read(CHUNK_BYTES)
            await chunks.put((loop.time() + delay, data))

    async def deliver() -> None:
        data = b"more"
        while data:
            due, data = await chunks.get()
            await asyncio.sleep(due - loop.time())
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async with asyncio.TaskGroup() as group:
        group.create_task(receive())
        group.create_task(deliver())


async def serve(host: str, port: int, to_port: int, delay: float) -> None:
    """Accept connections on ``host``:``port`` and carry each to ``host``:``to_port``, ``delay`` seconds each way."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ExceptionGroup):
            await asyncio.sleep(2 * delay)
            there, back = await asyncio.open_connection(host, to_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_carry(reader, back, delay))
                    group.create_task(_carry(there, writer, delay))
            finally:
                back.close()
        writer.close()

    server = await asyncio.start_server(connected, host, port)
    print("ready", flush=True)  # noqa: T201 - who started it waits for that
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000))
