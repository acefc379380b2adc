"""Says what the journal holds and was not said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from splitwire.edge.records import Record
    from splitwire.edge.watch.outbox import Journal


class Reports:
    """Gives records to who prints them. ``exit_code``: the first failure's, 0 without any."""

    def __init__(self, journal: Journal, say: Callable[[Record], None]) -> None:
        self._journal = journal
        self._say = say
        self.exit_code = 0

    def catch_up(self) -> None:
        """Say everything that was committed; if the process ends meanwhile, the next one says it again."""
        if unsaid := self._journal.unsaid():
            for record in unsaid.values():
                self.say(record)
            self._journal.said(unsaid)

    def say(self, record: Record) -> None:
        """Say what has no row in the journal."""
        self._say(record)
        if record.error is not None:
            self.exit_code = self.exit_code or record.error.exit_code
