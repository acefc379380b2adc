"""How much of a thing each caller may hold, and which bodies are read at all."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from splitwire.cloud.errors import QueueFull
from splitwire.shared.frame import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Hashable

    from splitwire.cloud.inference.batcher import Batcher

REACH = 4
"""How many times its size a room can hold at most."""
FREE_BYTES = 4096
"""What of a body is not counted: a connection takes more than that by itself, and a picture in 8 bits less."""
LARGE_BYTES = 65_536
"""From here on a body is large: more than the server reads before it is asked for more."""
_BUSY_BYTES = 8 * MAX_FRAME_BYTES
"""What is admitted of large bodies while the model has work: enough for it to go on at once, and little that waits."""
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


class Room:
    """How much each caller holds of something, and who may have more.

    Everyone may take until ``size`` is used. Beyond that, who would still hold no more than its share may:
    the size divided by the callers that hold something, this one included; and who holds nothing may take
    something larger than that. So one caller alone may use the whole size, and a greedy one finds it full
    where others don't.

    Of k callers, the one that holds k-th most got its last part within size / k, or while all together were
    within the size. So n callers hold at most size x (1 + 1/2 + ... + 1/n) in parts no larger than shares:
    with up to 30 of them, that is within ``REACH`` times the size, and no caller below its share is refused.
    More is never held, whoever they are.
    """

    def __init__(self, size: int) -> None:
        self.used = 0
        self._most = REACH * size
        self._size = size
        self._held: dict[Hashable, int] = {}

    def has(self, caller: Hashable, amount: int, size: int | None = None) -> bool:
        """Tell whether a caller may take so much more; ``size`` is the room's for now, where that is smaller."""
        size = self._size if size is None else min(size, self._size)
        used = self.used + amount
        if used <= size:
            return True
        own = self._held.get(caller, 0)
        callers = len(self._held) + (not own)
        return used <= self._most and (own + amount if own else 1) * callers <= size

    def take(self, caller: Hashable, amount: int) -> None:
        """Note what a caller took."""
        self.used += amount
        self._held[caller] = self._held.get(caller, 0) + amount

    def give_back(self, caller: Hashable, amount: int) -> None:
        """Note what it no longer needs."""
        self.used -= amount
        self._held[caller] -= amount
        if not self._held[caller]:
            del self._held[caller]


class Admission:
    """One request's body among those of all, from its announcement to the answer.

    What of it is beyond ``FREE_BYTES`` needs room among the bodies; a large one also a queue that takes pictures, which
    would refuse them when they have been read. So a small code is never refused for the bytes of large ones, and
    what the bodies take together has a bound, whatever callers announce, send or leave unfinished.
    """

    def __init__(self, caller: Hashable, bodies: Room, batcher: Batcher) -> None:
        self.caller = caller
        self.large = False
        self._bodies = bodies
        self._batcher = batcher
        self._held = 0

    def admit(self, size: int) -> None:
        """Let the body have so many bytes in all.

        Raises:
            QueueFull: there is no room for them.

        """
        more = size - FREE_BYTES - self._held
        if more <= 0:
            return
        most = None
        if size > LARGE_BYTES:
            if not (self.large or self._batcher.has_room(self.caller, 1, large=True)):
                raise QueueFull(self._batcher.retry_after, unread=True)
            self.large = True
            most = _BUSY_BYTES if self._batcher.busy else None
        if not self._bodies.has(self.caller, more, most):
            raise QueueFull(self._batcher.retry_after, unread=True)
        self._bodies.take(self.caller, more)
        self._held += more

    def end(self) -> None:
        """Give everything back."""
        if self._held:
            self._bodies.give_back(self.caller, self._held)
            self._held = 0
