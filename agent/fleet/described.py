"""docs/central-schema.md: the tables and views of central's database, for who reads it.

``python -m agent.fleet.described > docs/central-schema.md`` writes it anew.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql, sqlite

from agent.fleet.schema import METADATA, PARTITIONED
from agent.fleet.views import COLUMNS, VIEWS

_OWN: Final = {"relay", "relay_target", "worker", "horizon", "life", "mark"}
_ORDER: Final = (
    "gateway", "presence", "model", "condition", "request", "series", "summary", "total", "event",
    "gap", "life", "mark", "relay", "relay_target", "worker", "horizon",
)  # fmt: skip
_HEAD: Final = """\
# Central's database

`fieldwarden central CONFIG` keeps what gateways tell in PostgreSQL (15 or later) or in one SQLite
file: the same tables and views in both. Other tools may read all of it, best through the views,
with a login that may only read (`GRANT pg_read_all_data TO NAME`). Only central writes.

- **What a verdict is worth now** is in the view `model_now`, and nowhere else: offline, of an
  earlier run, or no longer valid it reads `unassessable`, with `why`. What was told is in `told`.
- **Times** are `timestamptz` on PostgreSQL and microseconds since 1970, UTC, on SQLite. Those that
  a gateway told (`since`, `raised_at`, `start_at`, `time`) are by its clock; `heard_at` and
  `expires_at` are by the database's.
- **JSON** is `jsonb` on PostgreSQL and text on SQLite, flags are 0 and 1 there, and a sum that
  needs more than 64 bits is text there and `numeric` on PostgreSQL.
- **Every message counts once**: `mark` holds which numbers of each stream arrived. Rows of `event`
  and `summary` are deleted when they are old, `mark` never; `total` is kept longer than `summary`.
- **Sums add up exactly**, in whole 1/1024 of the baseline's standard deviation from its centre:
  the mean in the tag's unit is `centre + scale * sum / good / 1024`.
- A gateway that is no more goes with `DELETE FROM gateway WHERE site = ... AND gateway = ...`; its
  events and windows go when they are old. Should it speak again, it begins anew.
- On PostgreSQL `event` and `summary` have a partition for each UTC day, and a BRIN index on time;
  with TimescaleDB in the database they are its hypertables.
- `agent.fleet.migrations` changes the tables from version to version: `central` does it at its
  start, and refuses a database that a newer version made. Additions are not announced; what is
  here keeps its meaning.

This page is made from the tables: `python -m agent.fleet.described > docs/central-schema.md`.
"""
_VIEW_COLUMNS: Final = {
    "rank": "worst first: 0 untrusted, 1 unassessable, 2 caution, 3 trusted; 4: no model",
    "verdict": "what it is worth now: trusted, caution, untrusted or unassessable",
    "told": "verdict as told last",
    "why": "why `verdict` is not what was told; empty where it is",
    "told_by": "condition that tells the incident: its first, or the first that is open",
    "conditions": "open conditions of it", "missing": "numbers lost that nothing explains",
    "awaited": "numbers still at the gateway", "open_incidents": "how many",
    "open_requests": "how many", "trusted": "models by what they are worth now",
    "caution": "see `trusted`", "untrusted": "see `trusted`", "unassessable": "see `trusted`",
    "source": "source that changed", "grade": "additive, compatible or breaking",
    "hold": "held, would hold or none", "needs": "sides that have not approved yet",
    "since_ns": "gateway's time, nanoseconds since 1970; 0: unknown", "tags": "how many",
    "mean": "of good samples, in `unit`", "least": "least good sample, in `unit`",
    "greatest": "greatest good sample, in `unit`", "windows": "windows of that day",
    "gateway_id": "gateway.id", "gateway": "name within the site", "site": "site",
}  # fmt: skip
_IN_VIEW: Final = {
    ("gateway_now", "models"): "models that are watched", ("change_now", "id"): "of the change",
    ("change_now", "state"): "detected, proposed, assessed, rejected or announced",
    ("change_now", "text"): "what changed", ("change_now", "models"): "models that it touches",
    ("incident_now", "data"): "all that `told_by` told",
    ("incident_now", "models"): "models that it touches",
}  # fmt: skip

_FIRST: Final = {
    "model_now": "model", "incident_now": "condition", "request_now": "request",
    "gateway_now": "gateway", "change_now": "gateway", "total_now": "total",
}  # fmt: skip


def document() -> str:
    """The page."""
    parts = [_HEAD, "## Views\n"]
    parts += [_view(name, told) for name, (_, told) in VIEWS.items()]
    parts.append("## Tables\n")
    parts += [_table(METADATA.tables[name]) for name in _ORDER if name not in _OWN]
    parts.append(
        "## Tables of central's own\n\nFor its own work; they may change from version to version.\n"
    )
    parts += [_table(METADATA.tables[name]) for name in _ORDER if name in _OWN]
    return "\n".join(parts)


def _view(name: str, told: str) -> str:
    rows = [f"| `{one}` | {_meaning(name, one)} |" for one in COLUMNS[name].split()]
    return "\n".join([f"### `{name}`: {told}\n", "| column | meaning |", "|---|---|", *rows, ""])


def _meaning(view: str, column: str) -> str:
    """In a view a column means what it means in the tables, but for the few that are its own."""
    found = _IN_VIEW.get((view, column)) or _VIEW_COLUMNS.get(column)
    for name in (_FIRST[view], *_ORDER):
        if found is None and column in METADATA.tables[name].c:
            found = METADATA.tables[name].c[column].comment
    if found is None:
        raise KeyError(f"nothing is said of {view}.{column}")
    return found


def _table(table: Table) -> str:
    time = PARTITIONED.get(table.name)
    rows = [
        f"| `{one.name}` | {_type(one)} | {'key: ' if one.primary_key else ''}{one.comment} |"
        for one in table.columns
    ]
    head = f"### `{table.name}`: {table.comment}\n"
    return "\n".join([
        head, *([f"In daily partitions by `{time}`.\n"] if time else []),
        "| column | type | meaning |", "|---|---|---|", *rows, "",
    ])  # fmt: skip


def _type(column: Column[Any]) -> str:
    """PostgreSQL's word, and SQLite's where it is another."""
    said = [
        column.type.compile(dialect=dialect).lower()
        for dialect in (postgresql.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]
    ]
    words = [one.replace("timestamp with time zone", "timestamptz") for one in said]
    same = {("jsonb", "json"), ("bigint", "integer"), ("bytea", "blob")}
    if words[0] == words[1] or tuple(words) in same or words[0].startswith("double"):
        return words[0]
    return f"{words[0]} ({'any' if words[1] == 'blob' else words[1]})"


if __name__ == "__main__":
    sys.stdout.write(document())
