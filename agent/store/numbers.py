"""Numbers of runs and of their messages.

A run's number is larger than that of every earlier run of this store, and another one even where
two machines go on from copies of one store, or from an old image of it: six of its digits are
random. Messages count from 1 within (run, stream), so a copy never gives a number a second time.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable
from typing import get_args

from agent.store import ranges
from agent.store.batch import Stream
from agent.store.counters import Counters

RANDOM = 1_000_000  # values of a run's random digits
BOOTS_KEPT = 200  # of which is known what was acknowledged
BEYOND_KEPT = 1_000  # ranges above a hole, of a stream of a run; the newest
LACKED = "acknowledged_lacked"  # counter: how often a central turned out to lack some of it
CONFIRMED = ("event", "summary", "gap")  # streams of which central acknowledges every message


class Numbers:
    """Last numbers, and what central acknowledged, on the writer's connection."""

    def __init__(self, connection: sqlite3.Connection, counters: Counters, boot: int) -> None:
        self._connection = connection
        self._counters = counters
        self._boot = boot

    @staticmethod
    def begin(connection: sqlite3.Connection, counters: Counters) -> int:
        """The number of a new run, inside its first transaction; its messages count from 1."""
        old = counters.get("boot")
        for stream in get_args(Stream):
            if last := counters.get(f"seq:{stream}"):
                _note_last(connection, old, stream, last)
                counters.set(f"seq:{stream}", 0)
        connection.execute(
            "DELETE FROM numbers WHERE boot <= (SELECT number FROM boot ORDER BY number DESC "
            "LIMIT 1 OFFSET ?) AND boot NOT IN (SELECT boot FROM outbox)",
            (BOOTS_KEPT,),
        )
        count = old // RANDOM if old >= RANDOM else old
        boot = (count + 1) * RANDOM + secrets.randbelow(RANDOM)
        counters.set("boot", boot)
        return boot

    def following(self, boot: int, stream: str) -> int:
        """Give the next number of a stream."""
        if boot == self._boot:
            return self._counters.add(f"seq:{stream}", 1)
        number = self.last(boot, stream) + 1
        _note_last(self._connection, boot, stream, number)
        return number

    def last(self, boot: int, stream: str) -> int:
        """The last number given, 0 where none was."""
        if boot == self._boot:
            return self._counters.get(f"seq:{stream}")
        query = "SELECT last FROM numbers WHERE boot = ? AND stream = ?"
        row = self._connection.execute(query, (boot, stream)).fetchone()
        return int(row[0]) if row else 0

    def acknowledged(self, boot: int, stream: str) -> ranges.Ranges:
        """What a central ever said that it has, or knows to be lost."""
        query = "SELECT through, CAST(beyond AS BLOB) FROM numbers WHERE boot = ? AND stream = ?"
        row = self._connection.execute(query, (boot, stream)).fetchone()
        if row is None:
            return []
        through, beyond = row
        try:
            known = ranges.parse(beyond)
        except (ValueError, TypeError, RecursionError):  # damaged: it is told once more
            known = []
        return ranges.union([*([(1, through)] if through else []), *known])

    def acknowledge(self, boot: int, stream: str, some: Iterable[tuple[int, int]]) -> None:
        """A central said that it has these, or knows that they are lost: true for ever.

        Its processes speak in any order, so no answer takes back what another one said.
        """
        known = self.acknowledged(boot, stream)
        every = ranges.union([*known, *some])
        if every == known:
            return
        through = every[0][1] if every[0][0] == 1 else 0
        beyond = [pair for pair in every if pair[0] > 1][-BEYOND_KEPT:]
        self._connection.execute(
            "INSERT INTO numbers VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (boot, stream) "
            "DO UPDATE SET last = max(last, ?3), through = ?4, beyond = ?5",
            (boot, stream, self.last(boot, stream), through, json.dumps(beyond)),
        )


def _note_last(connection: sqlite3.Connection, boot: int, stream: str, last: int) -> None:
    connection.execute(
        "INSERT INTO numbers (boot, stream, last, through) VALUES (?1, ?2, ?3, 0) "
        "ON CONFLICT (boot, stream) DO UPDATE SET last = max(last, ?3)",
        (boot, stream, last),
    )
