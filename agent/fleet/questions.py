"""What is asked of central's database: a line for each gateway, and lists. Blocking.

What a verdict is worth now is said by the views of `agent.fleet.views` and nowhere here, so that
offline or expired reads unassessable on every face at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from agent.central.promise import promise_of
from agent.fleet.columns import Json, Moment
from agent.fleet.database import Database
from agent.fleet.documents import (
    CHANGES,
    INCIDENTS,
    REQUESTS,
    age_s,
    change_of,
    incident_of,
    iso,
    request_of,
    selected,
)

OPEN: Final = ("open_incidents", "open_requests", "open_changes", "held_tags", "missing")
_HEARD: Final = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM heard_at) AS DOUBLE PRECISION)",
    "sqlite": "heard_at / 1000000.0",
}
_LINES: Final = (
    "SELECT gateway_id, site, gateway, online, {heard} AS heard, {open} FROM gateway_now"
)
_WORTH: Final = text("SELECT gateway_id, rank, count(*) FROM model_now GROUP BY gateway_id, rank")
"""As `gateway_now` counts; asked so, what a verdict is worth is found once, not six times."""

Line = Row[Any]
"""One gateway: the columns of `_LINES`; `heard` in seconds since 1970, None: it never was."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every gateway.

    Attributes:
        at: the database's clock when it was asked.
        lines: one a gateway, in no order.
        models: (gateway_id, place in `agent.central.worst.VERDICTS`, how many models).
    """

    at: datetime
    lines: Sequence[Line]
    models: Sequence[Any]


def snapshot(database: Database) -> Snapshot:
    """All lines.

    Raises:
        StoreError: the database is away.
    """
    with database.reading() as connection:
        heard = _HEARD[connection.dialect.name]
        lines = text(_LINES.format(heard=heard, open=", ".join(OPEN)))
        return Snapshot(
            database.now(connection), connection.execute(lines).all(),
            connection.execute(_WORTH).all(),
        )  # fmt: skip


# --- lists over the fleet ------------------------------------------------------------------------


def _where(site: str, search: str, columns: Sequence[str]) -> tuple[str, dict[str, str]]:
    """WHERE of a list, and its parameters; a search is any of these columns that contains it."""
    said, given = [], {}
    if site:
        said.append("site = :site")
        given["site"] = site
    if search:
        found = " OR ".join(f"lower({column}) LIKE :search ESCAPE '!'" for column in columns)
        said.append(f"({found})")
        given["search"] = like(search)
    return f"WHERE {' AND '.join(said)}" if said else "", given


def like(search: str) -> str:
    """A pattern of LIKE (with ESCAPE '!') that finds what contains this."""
    plain = search.lower()
    for special in "!%_":
        plain = plain.replace(special, f"!{special}")
    return f"%{plain}%"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list that is asked for by pages.

    Attributes:
        view: what it is of, as a SELECT.
        order: worst, latest or oldest first, always whole.
        searched: columns in which a search looks.
        item: makes JSON of a row, as of a time.
    """

    view: str
    order: str
    searched: tuple[str, ...]
    item: Any


def _placed(row: Any, item: Mapping[str, Any]) -> dict[str, Any]:
    return {"site": row.site, "gateway": row.gateway, **item}


def _changed(row: Any, now: datetime) -> dict[str, Any]:
    keys = "id", "source", "state", "grade", "hold", "text", "models", "needs", "since_ns", "tags"
    one = {key: getattr(row, key) for key in keys}
    return _placed(row, change_of(one, row.contract_said_at, row.contract_heard_at, now))


LISTS: Final = {
    "incidents": Listing(
        INCIDENTS, "since DESC, site, gateway, incident", ("site", "gateway", "text", "cause"),
        lambda row, now: _placed(row, {**incident_of(row), "age_s": age_s(row.since, now)}),
    ),
    "requests": Listing(
        REQUESTS, "since, site, gateway, id", ("site", "gateway", "model", "owner", "text"),
        lambda row, now: _placed(row, request_of(row, now)),
    ),
    "changes": Listing(
        CHANGES,
        "CASE hold WHEN 'held' THEN 0 WHEN 'would hold' THEN 1 ELSE 2 END, since_ns, site, gateway,"
        " id",
        ("site", "gateway", "source", "text"), _changed,
    ),
}  # fmt: skip


def listed(
    connection: Connection, now: datetime, name: str, *, site: str, search: str, offset: int,
    limit: int,
) -> tuple[int, list[dict[str, Any]]]:  # fmt: skip
    """How many there are, and one page of them.

    Args:
        connection: of the database.
        now: its clock.
        name: of `LISTS`.
        site: of one site only; empty: of all.
        search: those that contain it; empty: all.
        offset: how many are left out at the begin.
        limit: at most so many.
    """
    one = LISTS[name]
    where, given = _where(site, search, one.searched)
    total = connection.execute(text(f"SELECT count(*) FROM ({one.view}) l {where}"), given)
    rest = f"{where} ORDER BY {one.order} LIMIT :limit OFFSET :offset"
    rows = connection.execute(
        selected(f"SELECT * FROM ({one.view}) l", rest),
        {**given, "limit": limit, "offset": offset},
    )
    return int(total.scalar_one()), [one.item(row, now) for row in rows]


def with_model(connection: Connection, search: str) -> set[int]:
    """Gateways that watch a model whose name contains this."""
    found = connection.execute(
        text("SELECT DISTINCT gateway_id FROM model WHERE lower(model) LIKE :search ESCAPE '!'"),
        {"search": like(search)},
    )
    return {int(row.gateway_id) for row in found}


def promises(connection: Connection) -> dict[int, Mapping[str, Any]]:
    """How the promise on false alarms stands at each gateway that told it."""
    found = text("SELECT id, promise FROM gateway WHERE promise IS NOT NULL").columns(promise=Json)
    told = ((row.id, promise_of(row.promise)) for row in connection.execute(found))
    return {one: promise for one, promise in told if promise is not None}


def workers(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """The processes that write the database."""
    found = text(
        "SELECT name, heard_at, rows, messages, duplicates, unreadable, trouble FROM worker"
        " ORDER BY name"
    ).columns(heard_at=Moment)
    return [
        {**row._mapping, "heard_at": iso(row.heard_at), "heard_s": age_s(row.heard_at, now)}  # noqa: SLF001
        for row in connection.execute(found)
    ]
