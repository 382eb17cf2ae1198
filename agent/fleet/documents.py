"""Documents of single gateways from central's database, as `agent.central.report` makes them of
what one process remembers. Blocking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text

from agent.central.promise import promise_of
from agent.central.requests import poor_errors
from agent.central.worst import VERDICTS
from agent.fleet.columns import Json, Moment, moment_of
from agent.status.view import utc

MODELS_MOST: Final = 1_000  # of a gateway
LISTED_MOST: Final = 100  # incidents and requests of a gateway
_NS_PER_US: Final = 1_000


def moment(value: Any) -> datetime | None:
    """A time as a driver gives it: PostgreSQL's as such, SQLite's in microseconds."""
    return moment_of(value) if isinstance(value, int) else value


def age_s(value: Any, now: datetime) -> float | None:
    """Seconds since a time as a driver gives it; None where there is none."""
    when = moment(value)
    return None if when is None else max(0.0, (now - when).total_seconds())


def iso(value: datetime | None) -> str:
    """For JSON; empty where it is not known."""
    return "" if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")



_GATEWAYS: Final = text(
    "SELECT id AS gateway_id, site, gateway, store, boot, online, reason, since, heard_at,"
    " time_quality, version, contract_hash, contract_made, contract_said_at, contract_heard_at,"
    " held_tags, open_changes, changes, promise, clash, clash_until FROM gateway"
    " WHERE id IN :ids"
).bindparams(bindparam("ids", expanding=True)).columns(
    since=Moment, heard_at=Moment, changes=Json, promise=Json, clash=Json, clash_until=Moment,
    contract_said_at=Moment, contract_heard_at=Moment,
)  # fmt: skip
_MODELS: Final = text(
    "SELECT gateway_id, store, model, version, owner, verdict, told, why, since, text, reasons,"
    " data, heard_at, expires_at FROM model_now WHERE gateway_id IN :ids"
    " ORDER BY rank, model, store"
).bindparams(bindparam("ids", expanding=True)).columns(
    since=Moment, heard_at=Moment, expires_at=Moment, owner=Json, reasons=Json, data=Json
)
INCIDENTS: Final = (
    "SELECT gateway_id, site, gateway, store, incident, cause, text, since, conditions, models"
    " FROM incident_now"
)
REQUESTS: Final = (
    "SELECT gateway_id, site, gateway, store, id, model, state, owner, since, text, hint, criteria"
    " FROM request_now"
)
CHANGES: Final = (
    "SELECT gateway_id, site, gateway, id, source, state, grade, hold, text, models, needs,"
    " since_ns, tags, contract_said_at, contract_heard_at FROM change_now"
)
_MISSING: Final = text(
    "SELECT gateway_id, stream, CAST(sum(missing) AS BIGINT) AS missing,"
    " CAST(sum(awaited) AS BIGINT) AS awaited FROM mark WHERE gateway_id IN :ids"
    " AND (missing > 0 OR awaited > 0) GROUP BY gateway_id, stream"
).bindparams(bindparam("ids", expanding=True))
_DROPPED: Final = text(
    'SELECT gateway_id, of, reason, CAST(sum("count") AS BIGINT) AS dropped FROM gap'
    " WHERE gateway_id IN :ids GROUP BY gateway_id, of, reason"
).bindparams(bindparam("ids", expanding=True))


def gateways(connection: Connection, now: datetime, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Documents of these gateways, in this order, as `agent.central.report` has them."""
    if not ids:
        return []
    given = {"ids": list(ids)}
    heads = {row.gateway_id: row for row in connection.execute(_GATEWAYS, given)}
    parts: dict[str, dict[int, list[Any]]] = {
        "models": _grouped(connection.execute(_MODELS, given)),
        "incidents": _grouped(connection.execute(
            selected(INCIDENTS, "WHERE gateway_id IN :ids ORDER BY since DESC, incident"), given
        )),
        "requests": _grouped(connection.execute(
            selected(REQUESTS, "WHERE gateway_id IN :ids ORDER BY since, id"), given
        )),
        "missing": _grouped(connection.execute(_MISSING, given)),
        "dropped": _grouped(connection.execute(_DROPPED, given)),
    }  # fmt: skip
    return [
        _gateway(heads[one], {name: found.get(one, []) for name, found in parts.items()}, now)
        for one in ids
        if one in heads
    ]


def _grouped(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.gateway_id].append(row)
    return found


def selected(select: str, rest: str) -> Any:
    """A statement whose columns have the types of the tables."""
    made = text(f"{select} {rest}")
    if ":ids" in rest:
        made = made.bindparams(bindparam("ids", expanding=True))
    return made.columns(since=Moment, models=Json, criteria=Json, needs=Json,
                        contract_said_at=Moment, contract_heard_at=Moment)  # fmt: skip


def _gateway(head: Any, parts: Mapping[str, list[Any]], now: datetime) -> dict[str, Any]:
    models = [_model(row, now) for row in parts["models"][:MODELS_MOST]]
    incidents = [incident_of(row) for row in parts["incidents"]]
    requests = [request_of(row, now) for row in parts["requests"]]
    clashing = head.clash_until is not None and head.clash_until > now
    told = [(row.store, row.data) for row in parts["models"]]
    return {
        "site": head.site,
        "gateway": head.gateway,
        "store": head.store,
        "boot": head.boot,
        "online": None if head.online is None else bool(head.online),
        "reason": head.reason,
        "since": iso(head.since),
        "heard_at": iso(head.heard_at),
        "heard_s": age_s(head.heard_at, now),
        "time_quality": head.time_quality,
        "version": head.version,
        "clash": list(head.clash) if clashing else [],
        "promise": promise_of(head.promise),
        "models": models,
        "open_incidents": len(incidents),
        "open_conditions": sum(one["conditions"] for one in incidents),
        "incidents": incidents[:LISTED_MOST],
        "open_requests": len(requests),
        "retraining": requests[:LISTED_MOST],
        "errors": poor_errors(told),
        "contract": _contract(head, now),
        "missing_count": {row.stream: row.missing for row in parts["missing"] if row.missing},
        "awaited": {row.stream: row.awaited for row in parts["missing"] if row.awaited},
        "dropped": {f"{row.of}: {row.reason}": row.dropped for row in parts["dropped"]},
    }


def _model(row: Any, now: datetime) -> dict[str, Any]:
    left_s = 0.0 if row.why else max(0.0, (row.expires_at - now).total_seconds())
    return {
        "model": row.model, "version": row.version, "owner": row.owner, "store": row.store,
        "verdict": row.verdict if row.verdict in VERDICTS else VERDICTS[1], "told": row.told,
        "why": row.why, "since": iso(row.since), "reasons": row.reasons, "text": row.text,
        "heard_at": iso(row.heard_at), "valid_for_s": round(left_s, 3),
    }  # fmt: skip


def incident_of(row: Any) -> dict[str, Any]:
    """JSON of a row of `INCIDENTS`."""
    return {
        "incident": row.incident, "store": row.store, "text": row.text, "cause": row.cause,
        "since": iso(row.since), "models": list(row.models), "conditions": row.conditions,
    }  # fmt: skip


def request_of(row: Any, now: datetime) -> dict[str, Any]:
    """JSON of a row of `REQUESTS`, as of `now`."""
    return {
        "id": row.id, "store": row.store, "model": row.model, "state": row.state,
        "since": iso(row.since), "age_s": age_s(row.since, now), "owner": row.owner,
        "criteria": list(row.criteria), "text": row.text, "hint": row.hint,
    }  # fmt: skip


def _contract(head: Any, now: datetime) -> dict[str, Any] | None:
    if not (head.contract_hash or head.contract_made or head.open_changes):
        return None
    spoken = head.contract_said_at, head.contract_heard_at
    return {
        "hash": head.contract_hash, "made": head.contract_made, "held_tags": head.held_tags,
        "open_changes": head.open_changes,
        "changes": [change_of(one, *spoken, now) for one in head.changes],
    }  # fmt: skip


def change_of(
    one: Mapping[str, Any], said: datetime | None, heard: datetime | None, now: datetime
) -> dict[str, Any]:
    """JSON of a change; its age is the gateway's when it said so, and what has passed since."""
    told = {key: value for key, value in one.items() if key != "since_ns"}
    since_ns = one["since_ns"] or 0
    age = None
    if since_ns and said is not None and heard is not None:
        began = moment_of(since_ns // _NS_PER_US)
        age = max(0.0, (said - began + (now - heard)).total_seconds())
    return {**told, "since": utc(since_ns) if since_ns else "", "age_s": age}
