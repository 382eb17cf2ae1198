"""Finds the one message that the broker refuses, or ends the connection on, again and again.

A broker answers in order, so the oldest message without an answer is the one that it was at, or
the connection was lost by chance, or with answers on their way. Seen twice, it is sent only alone,
after all others, and those that were under way with it go one by one: so the next connection is
lost at the guilty one. Lost time after time, a row is given up, after at most `GUILTY + SUSPECT`
connections, however many were under way with it.
"""

from __future__ import annotations

from collections import Counter

from agent.store.reader import OutboxRow

SUSPECT = 2  # connections lost with the row as the oldest without an answer
GUILTY = 5
ROWS_KEPT = 1_000
REFUSALS = 3  # of one row, while others of its stream are taken; then it is given up


class Blame:
    """Counts, by outbox id, connections that were lost at a row."""

    def __init__(self) -> None:
        self._lost: Counter[int] = Counter()
        self._connection = 0
        self._near: dict[int, None] = {}  # rows that were under way with a suspect
        self._gather = False

    def lost_at(self, row: int, connection: int) -> bool:
        """Note the first row that a lost connection left without an answer; True: give it up."""
        if connection == self._connection:
            if self._gather:
                self._near[row] = None
            return False
        self._connection = connection
        if len(self._lost) >= ROWS_KEPT:
            self._lost.clear()
        self._lost[row] += 1
        self._gather = self._lost[row] >= SUSPECT
        self._near.pop(row, None)
        return self._lost[row] >= GUILTY

    def lost_on(self, connection: int) -> bool:
        """Whether rows were under way when a connection, the last one, was lost."""
        return connection == self._connection

    def answered(self, row: int) -> None:
        """The broker took it, or is done with it."""
        self._lost.pop(row, None)
        self._near.pop(row, None)

    @property
    def one_by_one(self) -> bool:
        """Whether rows are to be sent so that it is certain which one a connection is lost at."""
        return bool(self._near)

    def idle(self) -> None:
        """Nothing waits and nothing is under way: rows that are gone will never be answered."""
        self._near.clear()

    def suspects(self) -> list[int]:
        """Rows that are to be sent alone, the least suspect first."""
        found = [row for row, count in self._lost.items() if count >= SUSPECT]
        return sorted(found, key=lambda row: self._lost[row])

    def suspects_row(self, row: int) -> bool:
        """Whether a row is to be sent alone."""
        return self._lost[row] >= SUSPECT if row in self._lost else False


class Refusals:
    """Counts refusals for now, of a row and not of all of its stream."""

    def __init__(self) -> None:
        self._times: dict[int, tuple[int, int]] = {}  # row -> times, taken of its stream before
        self._taken: Counter[str] = Counter()

    def refused(self, row: OutboxRow) -> bool:
        """Note a refusal; True where only this row is refused, time after time."""
        taken = self._taken[row.stream]
        times, before = self._times.pop(row.id, (0, taken))
        if len(self._times) >= ROWS_KEPT:
            self._times.clear()
        self._times[row.id] = (times + 1, before)
        return times + 1 >= REFUSALS and taken > before

    def took(self, row: OutboxRow) -> None:
        """The broker took a row."""
        self._times.pop(row.id, None)
        self._taken[row.stream] += 1
