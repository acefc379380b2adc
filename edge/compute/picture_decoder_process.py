"""The process that decodes costly pictures: requests on standard input, replies on standard output.

It is run as a file and imports nothing of the device, so that it starts in a fraction of a second. It ends when its
standard input does.
"""

from __future__ import annotations

import math
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

from PIL import AvifImagePlugin, Image

from splitwire.shared.errors import PictureBroken, PictureCostly
from splitwire.shared.pictures.decoding import LIMIT_BYTES, TOO_LARGE, View, decode

if sys.platform == "linux":
    import resource

READY = b"ready"
"""The first bytes on standard output."""
REQUEST = struct.Struct("<QdHd??")
"""The file's bytes, the seconds that it may take, the fields of a ``View``; the file follows."""
REPLY = struct.Struct("<BI")
"""``SQUARE``, ``BROKEN`` or ``COSTLY``, and the bytes of what follows: pixels, or why there are none, as UTF-8."""
SQUARE, BROKEN, COSTLY = range(3)


def _reply(data: bytes, view: View) -> tuple[int, bytes]:
    try:
        return SQUARE, decode(data, "", view).tobytes()
    except PictureCostly as exc:
        return COSTLY, exc.reason.encode()
    except PictureBroken as exc:
        return BROKEN, exc.reason.encode()
    except MemoryError:
        return COSTLY, TOO_LARGE.encode()


def _data_bytes() -> int:
    """Memory that the process has for data so far; a guess where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        lines = []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:")), 64 << 20)


def main() -> None:
    """Serve until standard input ends."""
    Image.MAX_IMAGE_PIXELS = None  # splitwire.shared.pictures.decoding knows what a picture costs
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each has its own buffers
    Image.init()
    with suppress(OSError):  # if memory runs out, Linux shall kill this process first
        Path("/proc/self/oom_score_adj").write_text("1000")
    if sys.platform == "linux":
        most, hard = _data_bytes() + LIMIT_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    replies.write(READY)
    replies.flush()
    while header := requests.read(REQUEST.size):
        size, seconds, *view = REQUEST.unpack(header)
        if sys.platform == "linux":
            resource.setrlimit(
                resource.RLIMIT_DATA, (most - size, hard)
            )  # the asking process has the file's bytes too
        if sys.platform != "win32":
            signal.alarm(math.ceil(seconds) + 1)  # in case nobody is left to stop it
        kind, content = _reply(requests.read(size), View(*view))
        if sys.platform != "win32":
            signal.alarm(0)
        replies.write(REPLY.pack(kind, len(content)) + content)
        replies.flush()


if __name__ == "__main__":
    main()
