"""Requests that are none, or that could be read as others."""

from __future__ import annotations

HEADERS = b"POST /infer HTTP/1.1\r\nHost: cloud\r\nContent-Type: application/octet-stream\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: cloud\r\n\r\n"
UPGRADE = b"Connection: upgrade\r\nUpgrade: x\r\n"
CHUNKED = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = [
    # Host
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nHost: cloud\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nhOST: other\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud, other\r\nHost: b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\nHost: cloud\r\nHost: other\r\n\r\n",
    # other headers that a request has once
    HEADERS + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    HEADERS + b"Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
    HEADERS + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    HEADERS + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    # how long the body is
    HEADERS + b"Content-Length: 5, 5\r\n\r\nhello",
    HEADERS + b"Content-Length: +5\r\n\r\nhello",
    HEADERS + b"Content-Length: 0x5\r\n\r\nhello",
    HEADERS + b"Content-Length : 5\r\n\r\nhello",
    HEADERS + b"Content-Length:\r\n\r\nhello",
    HEADERS + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: identity\r\n\r\n",
    HEADERS + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    HEADERS + b"Transfer-Encoding:\r\n\r\n",
    HEADERS.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEADERS + UPGRADE + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    # the request line
    b"GET /healthz HTTP/2.0\r\nHost: cloud\r\n\r\n",
    b"GET /healthz HTTP/0.9\r\nHost: cloud\r\n\r\n",
    b"GET /healthz HTTP/1.2\r\nHost: cloud\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\nHost: cloud\r\n\r\n",
    b"GET /healthz HTTP/1.10\r\nHost: cloud\r\n\r\n",
    b"GET /healthz http/1.1\r\nHost: cloud\r\n\r\n",
    b"GET /healthz\r\nHost: cloud\r\n\r\n",
    b"GET\t/healthz HTTP/1.1\r\nHost: cloud\r\n\r\n",
    b"GET healthz HTTP/1.1\r\nHost: cloud\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: cloud\r\n\r\n",
    b"NO / HTTP/1.1\r\nHost: cloud\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    # lines
    b"GET /healthz HTTP/1.1\nHost: cloud\n\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nX: a\nY: b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nX: a\rb\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nX: a\r\n b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n X: a\r\nHost: cloud\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nX: a\x00b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nX y: b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\n: b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: cloud\r\nX\r\n\r\n",
]
BROKEN_CHUNKS = [
    b"zz\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffffff\r\n",
    b"5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n",
]
"""To be sent after ``CHUNKED``."""
LAST_CHUNKS = [
    b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n"
    for trailer in (
        b"X: y",
        b"Connection: close",
        b"Connection: keep-alive, close",
        b"Proxy-Connection: close",
        b"Connection: close\r\nX: y",
        b"Connection: upgrade\r\nUpgrade: x",
        b"Upgrade: x\r\nConnection: close, upgrade",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Length: 7",
        b"Host: other\r\nAuthorization: Bearer x",
    )
]
"""To be sent after ``CHUNKED``: what trailers say of the connection or the body."""
