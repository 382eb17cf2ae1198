"""Which rows go next: what is new before what waited, each with its share of the window.

Rows that are there when a connection begins are the backlog, and go in their order; those that come
later are live, and go first. So do verdicts, of which there are never many.
"""

from __future__ import annotations

from agent.store.reader import OutboxRow, Reader

WINDOW = 100  # messages in flight
BACKLOG_WINDOW = 80  # of them from the backlog at most
BACKLOG_BYTES = 65_536  # in flight at most: at 1 Mbit/s half a second, so live ones wait no longer
LIVE_AT_ONCE = 80  # live rows of one turn at most: the backlog has the rest
LIVE_MOST = 2_000  # live rows not looked at yet; more of them are backlog too


class Lanes:
    """Reads rows in the order in which they are to be sent.

    Args:
        reader: of the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._boundary = self._backlog = self._verdicts = self._live = 0
        self._in_flight: dict[int, int] = {}  # rows of the backlog -> payload bytes

    def again(self) -> None:
        """Begin again from the oldest: rows that were passed over are backlog."""
        self._boundary = self._live
        self._backlog = self._verdicts = 0

    def begin(self) -> None:
        """A connection begins: all that is there now is backlog.

        Raises:
            StoreError: the store can not be read.
        """
        self._boundary = self._live = self._reader.newest_outbox_id()
        self._backlog = self._verdicts = 0

    def next(self, room: int) -> list[OutboxRow]:
        """At most `room` rows to be sent, or to be passed over, now.

        Raises:
            StoreError: the store can not be read.
        """
        newest = self._reader.newest_outbox_id()
        if newest - self._live > LIVE_MOST:
            self._boundary = self._live = newest
        rows: list[OutboxRow] = []
        if self._verdicts < self._boundary:
            rows = self._reader.pending_verdicts(
                self._verdicts, min(room, LIVE_AT_ONCE), self._boundary
            )
            self._verdicts = rows[-1].id if rows else self._boundary
        live = self._reader.pending(self._live, max(0, min(room, LIVE_AT_ONCE) - len(rows)))
        if live:
            self._live = live[-1].id
        rows += live
        chosen = {row.id for row in rows}
        backlog = self._from_backlog(room - len(rows))
        return rows + [row for row in backlog if row.id not in chosen]

    def _from_backlog(self, room: int) -> list[OutboxRow]:
        held, size = len(self._in_flight), sum(self._in_flight.values())
        room = min(room, BACKLOG_WINDOW - held)
        # Few at a time would be read from the store for little.
        if self._backlog >= self._boundary or (held and room < BACKLOG_WINDOW // 2):
            return []
        rows: list[OutboxRow] = []
        for row in self._reader.pending(self._backlog, room, self._boundary):
            if rows and size + len(row.payload) > BACKLOG_BYTES:
                return rows
            if not rows and held and size > BACKLOG_BYTES // 2:
                return rows
            rows.append(row)
            self._backlog = row.id
            size += len(row.payload)
        if len(rows) < room:
            self._backlog = self._boundary
        return rows

    def sent(self, row: OutboxRow) -> None:
        """A row is in flight."""
        if row.id <= self._boundary:
            self._in_flight[row.id] = len(row.payload)

    def done(self, row: OutboxRow) -> None:
        """A row is no longer in flight."""
        self._in_flight.pop(row.id, None)
