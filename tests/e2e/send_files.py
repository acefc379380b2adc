"""What a device without a network of its own does: python -m tests.e2e.send_files URL PICTURE...

Sends files as they are to a cloud that runs everything (``splitwire.report.testbed.whole_network``), four at a time, and prints
a JSON line each, in order, with names as in ``edge-client classify --json``.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import sys
import time
from pathlib import Path

from splitwire.report.measure.exchanges import ask, open_connection
from splitwire.shared.bundle import default_bundle_path, load_manifest

_UNDER_WAY = 4


async def _main(url: str, files: dict[Path, bytes]) -> None:
    free = asyncio.Semaphore(_UNDER_WAY)
    async with open_connection(url, load_manifest(default_bundle_path()).classes) as connection:

        async def send(file: Path, data: bytes) -> dict[str, object]:
            async with free:
                started = time.monotonic()
                kind = mimetypes.guess_type(file)[0] or "image/jpeg"
                exchange = await ask(connection, data, kind)
            return {
                "path": str(file),
                "label": exchange.predictions[0].label,
                "quality": "picture",
                "source": "cloud",
                "error": None,
                "timings_ms": {"total": 1e3 * (time.monotonic() - started)},
            }

        for sending in [asyncio.create_task(send(file, data)) for file, data in files.items()]:
            print(json.dumps(await sending), flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], {Path(name): Path(name).read_bytes() for name in sys.argv[2:]}))
