"""How much of a thing each caller may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

REACH = 4
"""How many times its size a room can hold at most."""


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
