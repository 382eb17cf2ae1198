"""Named integers that belong to the store: what was received, delivered, dropped, numbered.

They are changed in memory and written in the same transaction as what they count, so that after
any crash they agree with the tables.
"""

from __future__ import annotations

import sqlite3


class Counters:
    """Counters of one connection; `begin`, then `add`/`set`, then `save` inside the transaction.

    Args:
        connection: the writer's.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._saved: dict[str, int] = dict(connection.execute("SELECT name, value FROM counter"))
        self._changed: dict[str, int] = {}

    def begin(self) -> None:
        """Forget changes of a transaction that did not commit."""
        self._changed = {}

    def get(self, name: str) -> int:
        """Value, 0 where it was never set."""
        return self._changed.get(name, self._saved.get(name, 0))

    def all(self) -> dict[str, int]:
        """Every counter as it was committed, by name."""
        return dict(self._saved)

    def set(self, name: str, value: int) -> None:
        """Set one."""
        self._changed[name] = value

    def add(self, name: str, count: int) -> int:
        """Add to one; returns the new value."""
        value = self.get(name) + count
        self._changed[name] = value
        return value

    def save(self) -> None:
        """Write what changed; call just before COMMIT."""
        self._connection.executemany(
            "INSERT INTO counter (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            self._changed.items(),
        )

    def committed(self) -> None:
        """The transaction stands: what changed is now what is saved."""
        self._saved |= self._changed
        self._changed = {}
