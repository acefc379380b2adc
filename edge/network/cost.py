"""How long an exchange takes on a network link: the one model behind ``--quality auto``, ``bench`` and the report.

    exchange = round trip + transfer of what is sent + transfer of what is received

The connection is open already; a new one costs a round trip more, with TLS two. Loss and other traffic are not in it.
Two things are called fast. A *throughput* is what a program gets: ``auto`` measures it, ``bench`` takes a few as
given, and a transfer is its bytes over it. A *rate* is what the link itself carries: the report's. There a transfer
also has its packets' headers, and waits where TCP's window is still small.
"""

from __future__ import annotations

import math

OVERHEAD_BYTES = 400
"""Of an exchange besides the body: HTTP's headers, both ways, and the answer. The report counts some 340."""
PACKET_BYTES = 1448
"""TCP's payload of a packet: Ethernet's 1,500 bytes less 20 of IP and 32 of TCP with timestamps (RFC 7323)."""
PACKET_HEADER_BYTES = 66
"""Of Ethernet (14), IP (20) and TCP with timestamps (32)."""
FIRST_FLIGHT = 10
"""Packets that TCP sends before the first acknowledgement (RFC 6928); each later flight has twice as many."""


def throughput_seconds(size: float, throughput: float, round_trip: float) -> float:
    """Predict an exchange from a throughput.

    Args:
        size: bytes both ways, ``OVERHEAD_BYTES`` included.
        throughput: bytes a second, both ways together.
        round_trip: seconds.

    """
    return round_trip + size / throughput


def link_seconds(
    sent: float, received: float, rate: float, round_trip: float, *, let_pass: float = 0.0
) -> float:
    """Predict an exchange from a link's rate.

    Args:
        sent: bytes by the socket's count, HTTP's headers included.
        received: likewise.
        rate: bits a second, each way.
        round_trip: seconds.
        let_pass: bytes of what is received that the link lets pass at once.

    """
    back = transfer_seconds(received, rate, round_trip, let_pass=let_pass)
    return round_trip + transfer_seconds(sent, rate, round_trip) + back


def transfer_seconds(size: float, rate: float, round_trip: float, *, let_pass: float = 0.0) -> float:
    """Predict how long bytes take from the first one leaving to the last one having left; see ``link_seconds``."""
    packets = math.ceil(size / PACKET_BYTES)
    total = max(0.0, size + packets * PACKET_HEADER_BYTES - let_pass)
    flight, waited = FIRST_FLIGHT, 0.0
    while packets > flight:
        leaving = 8 * flight * (PACKET_BYTES + PACKET_HEADER_BYTES) / rate
        waited += max(0.0, round_trip - leaving)
        packets -= flight
        flight *= 2
    return waited + 8 * total / rate
