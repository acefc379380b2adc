"""A server that answers whatever bytes a test wants."""

from __future__ import annotations

import re
import socketserver
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, kw_only=True)
class RawServer:
    """``requests``: the heads of all that came. ``sent``: how many bytes were taken from it, by request."""

    url: str
    requests: list[str] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)


def reply(body: bytes, *headers: str, status: str = "200 OK") -> list[bytes]:
    """Write a whole answer, its length included."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return ["\r\n".join(lines).encode() + body]


@contextmanager
def raw_server(answer: Callable[[str, bytes], Iterable[bytes]]) -> Iterator[RawServer]:
    """Serve on loopback: ``answer`` gets a request's head and body and gives bytes, after which the connection is closed."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                head = "".join(line.decode("latin-1") for line in iter(self._line, b""))
                if not head:
                    return
                length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
                body = self.rfile.read(int(length[1])) if length else b""
                at = len(served.sent)
                served.requests.append(head)
                served.sent.append(0)
                for data in answer(head, body):
                    self.request.sendall(data)
                    served.sent[at] += len(data)

        def _line(self) -> bytes:
            line: bytes = self.rfile.readline()
            return b"" if line == b"\r\n" else line

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        served = RawServer(url=f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
