"""Which bodies are read at all."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from splitwire.cloud.errors import BodyTooLarge, QueueFull

if TYPE_CHECKING:
    from collections.abc import Hashable

    from splitwire.cloud.inference.batcher import Batcher
    from splitwire.cloud.inference.room import Room

FREE_BYTES = 4096
"""What of a body is not counted: a connection takes more than that by itself, and a picture in 8 bits less."""
LARGE_BYTES = 65_536
"""From here on a body is large: more than the server reads before it is asked for more."""
_BUSY_BODIES = 8
"""So many of the largest are admitted while the model has work: enough for it to go on at once, and little that waits."""
_HOST_BITS_V6 = 64
"""A household has that many bits of an IPv6 address for itself, and a new address for every request if it likes."""


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """Name whoever can send from an address: an IPv4 address itself, of an IPv6 address the first half."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket of another kind
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or int(address) >> _HOST_BITS_V6)


class Admission:
    """One request's body among those of all, from its announcement to the answer.

    What of it is beyond ``FREE_BYTES`` needs room among the bodies; a large one also a queue that takes pictures, which
    would refuse them when they have been read. So a small code is never refused for the bytes of large ones, and
    what the bodies take together has a bound, whatever callers announce, send or leave unfinished.

    ``most``: bytes of the largest frame.
    """

    def __init__(self, caller: Hashable, bodies: Room, batcher: Batcher, most: int) -> None:
        self.caller = caller
        self.large = False
        self._most = most
        self._bodies = bodies
        self._batcher = batcher
        self._held = 0

    def admit(self, size: int) -> None:
        """Let the body have so many bytes in all.

        Raises:
            BodyTooLarge: no frame has so many.
            QueueFull: there is no room for them.
            NotReady: the server is stopping, and the body is large.

        """
        if size > self._most:
            raise BodyTooLarge(self._most)
        more = size - FREE_BYTES - self._held
        if more <= 0:
            return
        most = None
        if size > LARGE_BYTES:
            if not self.large:
                self._batcher.check_room(self.caller, 1, large=True, unread=True)
            self.large = True
            most = _BUSY_BODIES * self._most if self._batcher.busy else None
        if not self._bodies.has(self.caller, more, most):
            raise QueueFull(self._batcher.retry_after, unread=True)
        self._bodies.take(self.caller, more)
        self._held += more

    def end(self) -> None:
        """Give everything back."""
        if self._held:
            self._bodies.give_back(self.caller, self._held)
            self._held = 0
