"""What a request really put on the wire and took off it, from the socket's own counters."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import httpx

_INFO_BYTES = 232
_RECEIVED_AT, _MIN_RTT_AT, _SENT_AT = 128, 148, 200
"""Offsets of tcpi_bytes_received, tcpi_min_rtt and tcpi_bytes_sent in struct tcp_info (linux/tcp.h, since 4.19)."""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """``sent``, ``received``: bytes with HTTP's headers and TLS, without TCP's and IP's. ``round_trip``: seconds."""

    sent: int
    received: int
    round_trip: float

    @property
    def bytes(self) -> int:
        """Both ways together."""
        return self.sent + self.received


class WireCounter:
    """Reads what an exchange cost from the counters of its connection."""

    def __init__(self) -> None:
        self._counted: WeakKeyDictionary[object, tuple[int, int]] = WeakKeyDictionary()

    def since_last(self, response: httpx.Response) -> Wire | None:
        """Read what passed on the response's connection since it was read last; None where unknown.

        The response has been read and not been closed.
        """
        stream = response.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream is not None else None
        if connection is None or sys.platform != "linux":
            return None
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        except OSError:
            return None
        if len(info) < _SENT_AT + 8:
            return None
        received, sent = (struct.unpack_from("<Q", info, offset)[0] for offset in (_RECEIVED_AT, _SENT_AT))
        received_before, sent_before = self._counted.get(stream, (0, 0))
        self._counted[stream] = received, sent
        (microseconds,) = struct.unpack_from("<I", info, _MIN_RTT_AT)
        return Wire(
            sent=sent - sent_before, received=received - received_before, round_trip=microseconds / 1e6
        )
