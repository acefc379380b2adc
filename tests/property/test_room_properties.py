"""Whatever callers take and give back in whatever order, a room has its bound and everyone its share."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from splitwire.cloud.inference.room import REACH, Room

SIZE = 60
FAIR = 30
"""With so many callers nobody below its share is refused."""


class Told:
    """A room, and what its callers hold, counted beside it."""

    def __init__(self) -> None:
        self.room = Room(SIZE)
        self.held: Counter[int] = Counter()

    def share(self, caller: int) -> float:
        return SIZE / len({caller, *self.held})

    def ask(self, caller: int, amount: int) -> bool:
        """Take so much, where the room says that there is room."""
        allowed = self.room.has(caller, amount)
        if allowed:
            self.room.take(caller, amount)
            self.held[caller] += amount
        return allowed

    def give_back(self, caller: int, amount: int) -> None:
        amount = min(amount, self.held[caller])
        self.held[caller] -= amount
        if amount:
            self.room.give_back(caller, amount)
        self.held += Counter()  # drops those who hold nothing


def steps(callers: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Make a sequence of callers with what each takes, or below 0, gives back."""
    amounts = st.integers(1, SIZE) | st.integers(-SIZE, -1)
    return st.lists(st.tuples(st.integers(1, callers), amounts), max_size=150)


@given(steps(FAIR))
def test_whoever_would_hold_no_more_than_its_share_is_let_in_whatever_others_hold(
    taken: list[tuple[int, int]],
) -> None:
    told = Told()
    for caller, amount in taken:
        if amount < 0:
            told.give_back(caller, -amount)
            continue
        share = told.share(caller)
        if caller in told.held or amount <= share:  # parts no larger than shares
            below = told.held[caller] + amount <= share
            assert told.ask(caller, amount) or not below


@given(steps(300))
def test_a_room_has_its_bound_and_everyone_may_take_while_the_size_lasts(
    taken: list[tuple[int, int]],
) -> None:
    told = Told()
    for caller, amount in taken:
        if amount < 0:
            told.give_back(caller, -amount)
        else:
            within = told.held.total() + amount <= SIZE
            assert told.ask(caller, amount) or not within
        assert told.room.used == told.held.total() <= REACH * SIZE
    for caller, amount in list(told.held.items()):
        told.give_back(caller, amount)
    assert told.room.used == 0
    assert told.ask(1, SIZE)
    assert not told.ask(1, 1)


def test_callers_that_each_take_all_they_can_leave_the_last_one_its_share() -> None:
    told = Told()
    for caller in range(1, FAIR + 1):
        assert all(told.ask(caller, 1) for _ in range(SIZE // caller))
        assert not told.ask(caller, 1)


def test_who_holds_nothing_may_take_more_than_its_share_once() -> None:
    told = Told()
    assert told.ask(1, SIZE)
    assert told.ask(2, SIZE)
    assert not told.ask(2, 1)
    assert not any(told.ask(3, REACH * SIZE + amount) for amount in (0, 1))
