"""Who asks: the key, or where none is asked for, the address."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from splitwire.cloud.inference.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Hashable

_HOST_BITS_V6 = 64
"""A household has that many bits of an IPv6 address for itself, and a new address for every request if it likes."""


def caller_of(authorization: bytes, address: str, *, keyed: bool) -> Hashable:
    """Name the caller of a request, with whom all its others share what one caller may have.

    ``keyed``: keys are asked for, and this one was accepted.
    """
    return key_of(authorization) if keyed else network_of(address)


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """Name whoever can send from an address: an IPv4 address itself, of an IPv6 address the first half."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket of another kind
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(int(address) >> _HOST_BITS_V6)
