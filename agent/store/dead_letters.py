"""Messages that could not be delivered, put aside with the reason so that a person can look."""

from __future__ import annotations

import sqlite3

from agent.store.counters import Counters

ROWS_KEPT = 1_000
BYTES_KEPT = 8_000_000  # of their payloads
_TEXTS = (1, 3, 6)  # columns
PAYLOAD_KEPT = 1_000_000  # bytes of one; a longer one is cut


def put_aside(connection: sqlite3.Connection, counters: Counters, row: int, reason: str) -> None:
    """Copy a row of the outbox, by id, to the dead letters; the oldest of these go.

    Counters: `dead_letters` counts all that ever were, `dead_letter_bytes` those that are there.
    """
    found = connection.execute(
        "SELECT boot, CAST(stream AS BLOB), seq, CAST(topic AS BLOB), substr(payload, 1, ?), "
        "time_ns, CAST(covers AS BLOB) FROM outbox WHERE id = ?",
        (PAYLOAD_KEPT, row),
    ).fetchone()
    if found is None:
        return
    # A damaged text is kept as far as it can be read.
    values = [
        str(one, "utf-8", "replace") if place in _TEXTS and one is not None else one
        for place, one in enumerate(found)
    ]
    cursor = connection.execute(
        "INSERT INTO dead_letter (boot, stream, seq, topic, payload, time_ns, covers, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, reason),
    )
    counters.add("dead_letters", 1)
    last = cursor.lastrowid or 0
    counters.add("dead_letter_bytes", len(found[4]))
    oldest = connection.execute(
        "SELECT id, length(payload) FROM dead_letter ORDER BY id LIMIT ?", (ROWS_KEPT,)
    ).fetchall()
    for one, length in oldest:
        full = counters.get("dead_letter_bytes") > BYTES_KEPT
        if one == last or not (full or one <= last - ROWS_KEPT):
            break
        connection.execute("DELETE FROM dead_letter WHERE id = ?", (one,))
        counters.add("dead_letter_bytes", -length)
