"""Views over the tables: what everybody reads, page, API, metrics, terminal and dashboards.

What a verdict is worth now is said in one place, `model_now`: as `agent.central.gateway` says it of
one gateway in memory. Offline, another run, or no longer valid reads unassessable at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Date, Double, TableClause, Text, column, table

from agent.central.gateway import UNWATCHED_NS
from agent.fleet.columns import Json, Moment

_PAST = int(UNWATCHED_NS // 1_000)  # microseconds


@dataclass(frozen=True, slots=True)
class _Words:
    """What the two databases say differently."""

    now: str
    soon: str  # what was heard later was heard by a clock that has been set back since
    unwatched_since: str  # models told of before are no longer shown when they are not watched
    never: str
    clashing: str  # whether g.clash names the store {store}
    changes: str  # FROM clause that has each of g.changes as c.value
    changed: str  # text member {key} of c.value
    listed: str  # JSON member {key} of c.value
    number: str  # whole-number member {key} of c.value
    names: str  # each name in {models} of the set {of}, as one JSON list without repetition


POSTGRESQL: Final = _Words(
    now="statement_timestamp()",
    soon="statement_timestamp() + interval '5 seconds'",
    unwatched_since=f"statement_timestamp() - interval '{_PAST} microseconds'",
    never="NULL::timestamptz",
    clashing="g.clash @> to_jsonb({store})",
    changes="CROSS JOIN LATERAL jsonb_array_elements(g.changes) AS c(value)",
    changed="c.value ->> '{key}'",
    listed="c.value -> '{key}'",
    number="(c.value ->> '{key}')::bigint",
    names="(SELECT coalesce(jsonb_agg(DISTINCT n.value ORDER BY n.value), '[]'::jsonb)"
    " FROM condition k CROSS JOIN LATERAL jsonb_array_elements_text(k.models) AS n(value)"
    " WHERE {of})",
)
_SQLITE_NOW = (
    "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000"
    " + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)"
)
SQLITE: Final = _Words(
    now=_SQLITE_NOW,
    soon=f"{_SQLITE_NOW} + 5000000",
    unwatched_since=f"{_SQLITE_NOW} - {_PAST}",
    never="NULL",
    clashing="EXISTS (SELECT 1 FROM json_each(g.clash) j WHERE j.value = {store})",
    changes="CROSS JOIN json_each(g.changes) AS c",
    changed="json_extract(c.value, '$.{key}')",
    listed="json_extract(c.value, '$.{key}')",
    number="json_extract(c.value, '$.{key}')",
    names="(SELECT json_group_array(v) FROM (SELECT DISTINCT n.value AS v"
    " FROM condition k CROSS JOIN json_each(k.models) AS n WHERE {of} ORDER BY 1))",
)
WORDS: Final = {"postgresql": POSTGRESQL, "sqlite": SQLITE}


def _counts(words: _Words, store: str) -> str:
    """Whether a store counts: all do where nobody has said which."""
    clashing = words.clashing.format(store=store)
    return (
        f"(g.store = '' OR g.store = {store} OR (g.clash_until > {words.now} AND {clashing}))"
    )


def _model_now(words: _Words) -> str:
    return f"""
CREATE VIEW model_now AS
SELECT w.gateway_id, w.site, w.gateway, w.store, w.model, w.version, w.owner,
    CASE WHEN w.why = '' THEN w.told ELSE 'unassessable' END AS verdict,
    CASE WHEN w.why <> '' THEN 1 ELSE CASE w.told
        WHEN 'untrusted' THEN 0 WHEN 'unassessable' THEN 1 WHEN 'caution' THEN 2
        WHEN 'trusted' THEN 3 ELSE 1 END END AS rank,
    w.told, w.why, w.since, w.text, w.reasons, w.data, w.boot, w.seq, w.heard_at, w.expires_at,
    w.watched
FROM (
    SELECT m.gateway_id, g.site, g.gateway, m.store, m.model, m.version, m.owner, m.verdict AS told,
        CASE
            WHEN m.verdict = 'unassessable' THEN ''
            WHEN NOT p.online THEN 'the gateway is offline: ' || p.reason
            WHEN p.boot <> m.boot THEN 'the agent was started anew and has not told it yet'
            WHEN m.expires_at <= m.heard_at
                THEN 'its age is not known; it counts when it is told again'
            WHEN {words.now} >= m.expires_at THEN 'no longer valid: nothing heard in time'
            WHEN m.heard_at > {words.soon} THEN 'the clock of the database was set back'
            ELSE '' END AS why,
        m.since, m.text, m.reasons, m.data, m.boot, m.seq, m.heard_at, m.expires_at, m.watched
    FROM model m
    JOIN gateway g ON g.id = m.gateway_id
    LEFT JOIN presence p ON p.gateway_id = m.gateway_id AND p.store = m.store
    WHERE {_counts(words, "m.store")}
        AND (m.watched OR m.heard_at >= {words.unwatched_since})
) w"""


def _incident_now(words: _Words) -> str:
    members = "k.gateway_id = i.gateway_id AND k.store = i.store AND k.incident = i.incident"
    names = words.names.format(of=f"{members} AND k.open")
    return f"""
CREATE VIEW incident_now AS
SELECT i.gateway_id, i.site, i.gateway, i.store, i.incident, i.id AS told_by, i.cause, i.text,
    i.since, i.conditions, {names} AS models, i.data
FROM (
    SELECT c.gateway_id, g.site, g.gateway, c.store, c.incident, c.id, c.cause, c.text, c.data,
        min(c.raised_at) OVER (PARTITION BY c.gateway_id, c.store, c.incident) AS since,
        count(*) OVER (PARTITION BY c.gateway_id, c.store, c.incident) AS conditions,
        row_number() OVER (PARTITION BY c.gateway_id, c.store, c.incident
            ORDER BY CASE WHEN c.id = c.incident THEN 0 ELSE 1 END,
                CASE WHEN c.raised_at IS NULL THEN 0 ELSE 1 END, c.raised_at, c.id) AS place
    FROM condition c
    JOIN gateway g ON g.id = c.gateway_id
    WHERE c.open AND {_counts(words, "c.store")}
) i
WHERE i.place = 1"""


def _request_now(words: _Words) -> str:
    return f"""
CREATE VIEW request_now AS
SELECT r.gateway_id, g.site, g.gateway, r.store, r.id, r.model, r.state, r.owner, r.since, r.text,
    r.hint, r.criteria, r.data
FROM request r
JOIN gateway g ON g.id = r.gateway_id
WHERE r.open AND {_counts(words, "r.store")}
    AND NOT EXISTS (
        SELECT 1 FROM request t
        WHERE t.gateway_id = r.gateway_id AND t.store = r.store AND t.answers = r.id
            AND t.state = 'accepted')"""


def _change_now(words: _Words) -> str:
    text = {key: words.changed.format(key=key) for key in ("id", "source", "state", "grade",
                                                             "hold", "text")}  # fmt: skip
    columns = ", ".join(f"{said} AS {key}" for key, said in text.items())
    listed = ", ".join(f"{words.listed.format(key=key)} AS {key}" for key in ("models", "needs"))
    numbers = ", ".join(f"{words.number.format(key=key)} AS {key}" for key in ("since_ns", "tags"))
    return f"""
CREATE VIEW change_now AS
SELECT g.id AS gateway_id, g.site, g.gateway, {columns}, {listed}, {numbers},
    g.contract_said_at, g.contract_heard_at
FROM gateway g
{words.changes}"""


def _gateway_now(words: _Words) -> str:
    return f"""
CREATE VIEW gateway_now AS
SELECT g.id AS gateway_id, g.site, g.gateway, g.store, g.boot, g.online, g.reason, g.since,
    g.heard_at, g.time_quality, g.version, g.contract_hash, g.contract_made, g.held_tags,
    g.open_changes, g.changes, g.promise,
    CASE WHEN g.clash_until > {words.now} THEN g.clash END AS clash,
    coalesce(m.models, 0) AS models, coalesce(m.trusted, 0) AS trusted,
    coalesce(m.caution, 0) AS caution, coalesce(m.untrusted, 0) AS untrusted,
    coalesce(m.unassessable, 0) AS unassessable, coalesce(m.rank, 4) AS rank,
    coalesce(i.incidents, 0) AS open_incidents, coalesce(r.requests, 0) AS open_requests,
    coalesce(l.missing, 0) AS missing, coalesce(l.awaited, 0) AS awaited
FROM gateway g
LEFT JOIN (
    SELECT gateway_id, count(*) AS models, min(rank) AS rank,
        sum(CASE WHEN verdict = 'trusted' THEN 1 ELSE 0 END) AS trusted,
        sum(CASE WHEN verdict = 'caution' THEN 1 ELSE 0 END) AS caution,
        sum(CASE WHEN verdict = 'untrusted' THEN 1 ELSE 0 END) AS untrusted,
        sum(CASE WHEN verdict = 'unassessable' THEN 1 ELSE 0 END) AS unassessable
    FROM model_now GROUP BY gateway_id
) m ON m.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, count(*) AS incidents FROM (
        SELECT DISTINCT c.gateway_id, c.store, c.incident FROM condition c
        JOIN gateway g ON g.id = c.gateway_id
        WHERE c.open AND {_counts(words, "c.store")}) d GROUP BY gateway_id
) i ON i.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, count(*) AS requests FROM request_now GROUP BY gateway_id
) r ON r.gateway_id = g.id
LEFT JOIN (
    SELECT gateway_id, CAST(sum(missing) AS BIGINT) AS missing,
        CAST(sum(awaited) AS BIGINT) AS awaited
    FROM mark WHERE missing > 0 OR awaited > 0 GROUP BY gateway_id
) l ON l.gateway_id = g.id"""


def _total_now(_words: _Words) -> str:
    return """
CREATE VIEW total_now AS
SELECT t.day, g.site, g.gateway, s.model, s.tag, s.baseline, s.unit, s.per_hour, s.centre, s.scale,
    t.windows, t.count, t.good, t.scans, t.extrapolating, t.jointly,
    CASE WHEN t.good > 0 THEN s.centre + s.scale * CAST(t.sum AS DOUBLE PRECISION)
        / t.good / 1024.0 END AS mean,
    s.centre + s.scale * t.min / 1024.0 AS least, s.centre + s.scale * t.max / 1024.0 AS greatest
FROM total t
JOIN series s ON s.id = t.series_id
JOIN gateway g ON g.id = s.gateway_id"""


VIEWS: Final = {
    "model_now": (_model_now, "every model that is watched, and what its verdict is worth now"),
    "incident_now": (_incident_now, "incidents that have an open condition"),
    "request_now": (_request_now, "retraining requests that somebody has to act on"),
    "change_now": (_change_now, "the worst open changes upstream of each gateway"),
    "gateway_now": (_gateway_now, "every gateway, with its models counted by verdict"),
    "total_now": (_total_now, "daily totals in the unit of the tag"),
}


def views_of(dialect: str) -> dict[str, str]:
    """CREATE VIEW statements by name, in the order in which they can be made."""
    return {name: make(WORDS[dialect]).strip() for name, (make, _) in VIEWS.items()}


COLUMNS: Final = {
    "model_now": "gateway_id site gateway store model version owner verdict rank told why since"
    " text reasons data boot seq heard_at expires_at watched",
    "incident_now": "gateway_id site gateway store incident told_by cause text since conditions"
    " models data",
    "request_now": "gateway_id site gateway store id model state owner since text hint criteria"
    " data",
    "change_now": "gateway_id site gateway id source state grade hold text models needs since_ns"
    " tags contract_said_at contract_heard_at",
    "gateway_now": "gateway_id site gateway store boot online reason since heard_at time_quality"
    " version contract_hash contract_made held_tags open_changes changes promise clash models"
    " trusted caution untrusted unassessable rank open_incidents open_requests missing awaited",
    "total_now": "day site gateway model tag baseline unit per_hour centre scale windows count good"
    " scans extrapolating jointly mean least greatest",
}
"""Names of the columns of each view, in order."""


def _typed(name: str, **kinds: Any) -> TableClause:
    """A view as SQLAlchemy selects from it; what has no kind is text."""
    return table(name, *(column(one, kinds.get(one, Text)) for one in COLUMNS[name].split()))


_WHOLE = dict.fromkeys(
    ("gateway_id", "boot", "seq", "rank", "held_tags", "open_changes", "models", "trusted",
     "caution", "untrusted", "unassessable", "open_incidents", "open_requests", "missing",
     "awaited", "conditions", "since_ns", "tags", "windows", "count", "good", "scans",
     "extrapolating", "jointly"), BigInteger,
)  # fmt: skip
_MOMENTS = dict.fromkeys(
    ("since", "heard_at", "expires_at", "contract_said_at", "contract_heard_at"), Moment
)
_FLAGS = dict.fromkeys(("online", "watched", "per_hour"), Boolean)
_JSON = dict.fromkeys(
    ("owner", "reasons", "data", "criteria", "needs", "changes", "clash", "promise"), Json
)
_NUMBERS = dict.fromkeys(("mean", "least", "greatest", "centre", "scale"), Double)
_KINDS: dict[str, Any] = {**_WHOLE, **_MOMENTS, **_FLAGS, **_JSON, **_NUMBERS}
_OWN: dict[str, dict[str, Any]] = {  # where a name means something else than elsewhere
    "incident_now": {"models": Json}, "change_now": {"models": Json},
    "request_now": {"owner": Text}, "total_now": {"day": Date},
}  # fmt: skip
SELECTED: Final = {name: _typed(name, **{**_KINDS, **_OWN.get(name, {})}) for name in VIEWS}
"""The views as `sqlalchemy.select` takes them, by name: times, JSON and flags are Python's."""
