"""SQL that makes spans of events that say what was and what is, and cuts them into buckets.

An event of a change tells the state before it, so nothing before the time that is shown has to be
looked up: the first change tells what was, and where none is, what holds now did all the time.
"""

from __future__ import annotations

from collections.abc import Sequence


def gateway() -> str:
    """WITH clause `chosen`: the gateway of the variables `site` and `gateway`."""
    return (
        "chosen AS (\n"
        "  SELECT id AS gateway_id, site, gateway, online, heard_at\n"
        "  FROM gateway WHERE site = '$site' AND gateway = '$gateway'\n"
        ")"
    )


def bucketed(spans: str, names: Sequence[str]) -> str:
    """The worst state of each bucket, as a place in `names` from 1.

    Args:
        spans: WITH clauses, of which the last is spans(name, from_at, to_at, state).
        names: of states, the worst last.
    """
    places = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(names, 1))
    return (
        f"WITH {spans}, bucket AS (\n"
        "  SELECT at, at + $__interval_ms * interval '1 millisecond' AS until\n"
        "  FROM generate_series(\n"
        "    $__timeFrom()::timestamptz, least($__timeTo()::timestamptz, now()),\n"
        "    $__interval_ms * interval '1 millisecond'\n"
        "  ) AS at\n"
        ")\n"
        'SELECT bucket.at AS "time", spans.name AS metric,\n'
        f"  max(CASE spans.state {places} END)::float8 AS value\n"
        "FROM bucket JOIN spans ON spans.from_at < bucket.until AND spans.to_at > bucket.at\n"
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )


def changes(kind: str, says: str, subject: str, now: str) -> str:
    """WITH clauses told(name, at, state, was) and spans, from events of one kind.

    Args:
        kind: of the events.
        says: key of their data that has the state; `was` has the one before.
        subject: condition on `e.subject`.
        now: a query of (name, state, until): what holds now of each, and since when, if it is so,
            it is not to be believed any more (else null).
    """
    return f"""{gateway()}, told AS (
  SELECT substr(e.subject, strpos(e.subject, '/') + 1) AS name, e.time AS at,
    e.data->>'{says}' AS state, e.data->>'was' AS was
  FROM event e JOIN chosen USING (gateway_id)
  WHERE e.kind = '{kind}' AND e.time >= $__timeFrom() AND {subject}
), present AS (
{now}
), spans AS (
  SELECT name, at AS from_at,
    least(
      lead(at, 1, 'infinity') OVER (PARTITION BY name ORDER BY at),
      (SELECT max(until) FROM present WHERE present.name = told.name)
    ) AS to_at, state
  FROM told
  UNION ALL
  (SELECT DISTINCT ON (name) name, '-infinity'::timestamptz, at, was FROM told ORDER BY name, at)
  UNION ALL
  SELECT name, '-infinity', coalesce(until, 'infinity'), state FROM present
  WHERE name NOT IN (SELECT name FROM told)
  UNION ALL
  SELECT name, until, 'infinity', 'unassessable' FROM present WHERE until IS NOT NULL
)"""


def verdicts(model: str = "") -> str:
    """Spans of the verdicts of the chosen gateway's models; `model`: a condition on `m.model`."""
    now = f"""  SELECT m.model AS name, m.told AS state, CASE WHEN m.why <> '' THEN
    least(m.expires_at, CASE WHEN NOT chosen.online THEN chosen.heard_at END) END AS until
  FROM model_now m JOIN chosen USING (gateway_id) WHERE true{model and f" AND {model}"}"""
    subject = "e.subject = 'model/$model'" if model else "e.subject LIKE 'model/%'"
    return changes("verdict", "verdict", subject, now)
