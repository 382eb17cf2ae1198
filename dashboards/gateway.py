"""One gateway: its models over time, incidents, sources, what is missing, its clock."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from dashboards.fleet import MODELS_NOW
from dashboards.kit import (
    SEVERITIES,
    SOURCE_STATES,
    VERDICTS,
    Place,
    Variable,
    figures,
    leads_to,
    lines,
    page,
    rows,
    states,
)
from dashboards.spans import bucketed, changes, gateway, verdicts

UID: Final = "fieldwarden-gateway"
SITE: Final = Variable("site", "Site", "SELECT site FROM gateway GROUP BY site ORDER BY site")
GATEWAY: Final = Variable(
    "gateway", "Gateway", "SELECT gateway FROM gateway WHERE site = '$site' ORDER BY gateway"
)
TO_MODEL: Final = leads_to("fieldwarden-model", site="site", gateway="gateway", model="model")
_HERE: Final = "site = '$site' AND gateway = '$gateway'"

STATE: Final = f"""
    SELECT CASE WHEN online THEN 'online' WHEN online IS NULL THEN 'not told' ELSE 'offline' END
        AS state,
      CASE WHEN promise IS NULL THEN 'not told'
        WHEN (promise->>'exceeded')::boolean THEN 'exceeded' ELSE 'kept' END AS promise,
      time_quality AS clock, version
    FROM gateway WHERE {_HERE}
"""
COUNTS: Final = MODELS_NOW.replace("site IN ($site)", _HERE)
OPEN: Final = f"""
    SELECT open_incidents AS incidents, open_requests AS requests, open_changes AS changes,
      held_tags AS "tags held", missing AS "numbers missing", awaited AS "numbers awaited"
    FROM gateway_now WHERE {_HERE}
"""
ABOUT: Final = f"""
    SELECT a.what, a.told FROM gateway CROSS JOIN LATERAL (VALUES
      (1, 'heard of last', heard_at::text),
      (2, 'state', concat_ws(', since ', reason, since::text)),
      (3, 'store, run', store || ', ' || boot),
      (4, 'runs told of', births::text),
      (5, 'contract', nullif(left(contract_hash, 12), '')),
      (6, 'contract made', nullif(contract_made, '')),
      (7, 'promise', promise->>'false_alarms'),
      (8, 'alarms in 30 days', (promise->>'raised') || ', ' || (promise->>'acknowledged')
        || ' acknowledged, ' || (promise->>'false') || ' called false'),
      (9, 'another of this name', nullif(clash::text, '[]'))
    ) AS a(place, what, told)
    WHERE {_HERE} AND a.told IS NOT NULL ORDER BY a.place
"""
MODELS: Final = f"""
    SELECT site, gateway, model, verdict, told, coalesce(nullif(why, ''), text) AS why, since,
      version, owner->>'team' AS owner
    FROM model_now WHERE {_HERE} ORDER BY rank, model
"""
INCIDENTS: Final = f"""
    SELECT since, cause, text, data->>'severity' AS severity, conditions,
      (SELECT string_agg(m.name, ', ') FROM jsonb_array_elements_text(models) AS m(name)) AS models,
      data->>'hint' AS hint
    FROM incident_now WHERE {_HERE} ORDER BY since DESC NULLS LAST
"""
CONDITIONS: Final = f"""{gateway()}, told AS (
  SELECT coalesce(max(e.subject), '') AS name, e.data->>'id' AS id,
    to_timestamp(nullif(max((e.data->>'raised_ns')::bigint), 0) / 1e9) AS from_at,
    max(e.time) FILTER (WHERE 'cleared' IN (e.data->>'change', e.data->>'state')) AS to_at,
    max(e.data->>'severity') AS state
  FROM event e JOIN chosen USING (gateway_id)
  WHERE e.kind = 'condition' AND e.time >= $__timeFrom()
  GROUP BY e.data->>'id', e.store
), spans AS (
  SELECT name, from_at, coalesce(to_at, 'infinity') AS to_at, state FROM told
  WHERE from_at IS NOT NULL
  UNION ALL
  SELECT coalesce(c.data->>'text', c.text), c.raised_at, 'infinity', c.data->>'severity'
  FROM condition c JOIN chosen USING (gateway_id)
  WHERE c.open AND c.raised_at IS NOT NULL AND c.id NOT IN (SELECT id FROM told)
)"""
SOURCES: Final = changes(
    "source", "state", "e.subject LIKE 'source/%'",
    "  SELECT ''::text AS name, ''::text AS state, NULL::timestamptz AS until WHERE false",
)  # fmt: skip
MISSED: Final = f"""
    SELECT p.told_at AS "told at", p.of AS stream, p.boot AS run, p.count AS numbers, p.reason
    FROM gap p JOIN gateway g ON g.id = p.gateway_id
    WHERE {_HERE.replace("site", "g.site", 1).replace("gateway =", "g.gateway =")}
    ORDER BY p.told_at DESC LIMIT 200
"""


def _events(kinds: str, columns: str, limit: int = 200) -> str:
    """The latest events of some kinds in the time shown."""
    return f"""
    SELECT e.time, {columns}
    FROM event e JOIN gateway g ON g.id = e.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND $__timeFilter(e.time)
      AND e.kind IN ({kinds})
    ORDER BY e.time DESC LIMIT {limit}
"""


SAMPLES_MISSED: Final = _events(
    "'gap'",
    "e.subject, (e.data->>'count')::bigint AS count,"
    " (((e.data->>'to_ns')::numeric - (e.data->>'from_ns')::numeric) / 1e9)::float8 AS lasted,"
    " e.data->>'reason' AS reason",
)
CLOCK: Final = _events(
    "'clock'",
    "e.data->>'change' AS change, e.data->>'time_quality' AS clock,"
    " ((e.data->>'shift_ns')::numeric / 1e9)::float8 AS moved,"
    " ((e.data->>'away_ns')::numeric / 1e9)::float8 AS away",
)
HAPPENED: Final = _events(
    "'condition', 'verdict', 'source', 'gap', 'mode', 'configuration', 'retraining', 'review',"
    " 'engine', 'clock', 'evidence', 'change'",
    "e.kind, e.subject, coalesce(e.data->>'change', e.data->>'verdict', e.data->>'state') AS what,"
    " coalesce(e.data->>'text', e.data->>'reason', e.data->'reasons'->0->>'text') AS text,"
    " e.data->>'by' AS by, e.historical",
    500,
)
REQUESTS: Final = f"""
    SELECT since, model, state, owner, text, hint
    FROM request_now WHERE {_HERE} ORDER BY since NULLS LAST
"""
CHANGES: Final = f"""
    SELECT to_timestamp(nullif(since_ns, 0) / 1e9) AS since, source, state, grade, hold, tags, text
    FROM change_now WHERE {_HERE} ORDER BY 1 NULLS LAST
"""
SAMPLES: Final = """
    SELECT $__timeGroupAlias(s.start_at, $__interval), r.model AS metric,
      sum(s.count)::float8 AS value
    FROM summary s JOIN series r ON r.id = s.series_id JOIN gateway g ON g.id = r.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND $__timeFilter(s.start_at)
    GROUP BY 1, 2 ORDER BY 1, 2
"""
UNUSABLE: Final = SAMPLES.replace(
    "sum(s.count)::float8", "(1 - sum(s.good) / nullif(sum(s.count), 0))::float8"
)


def built() -> models.Dashboard:
    """The dashboard."""
    return page(
        UID, "Fieldwarden: gateway", "One gateway, as central heard of it.", [SITE, GATEWAY],
        {
            "Now": [
                Place(figures("Gateway", "Whether it is there, keeps its promise of false alarms,"
                              " and how far its clock can be believed.", STATE), 8, 5),
                Place(figures("Models", "By what their verdict is worth now.", COUNTS,
                              VERDICTS), 7, 5),
                Place(figures("Open", "What waits for people, and which messages central lacks.",
                              OPEN), 9, 5),
            ],
            "Models": [
                Place(states("Verdicts", "The worst of each step; grey where nothing was heard in"
                             " time.", bucketed(verdicts(), VERDICTS), VERDICTS), 24, 8),
                Place(rows("Models", "What each verdict is worth now, and why.", MODELS,
                           links={"model": TO_MODEL}, hidden=["site", "gateway"]), 24, 7),
            ],
            "Incidents": [
                Place(states("Conditions", "From when they were raised until they cleared.",
                             bucketed(CONDITIONS, SEVERITIES), SEVERITIES), 24, 8),
                Place(rows("Open incidents", "The latest first.", INCIDENTS), 24, 7),
            ],
            "What is missing": [
                Place(states("Sources", "That changed in this time.",
                             bucketed(SOURCES, SOURCE_STATES), SOURCE_STATES), 12, 8),
                Place(lines("Unusable samples", "Share of those that came, by model.", UNUSABLE,
                            unit="percentunit", interval="5m", least=0), 12, 8),
                Place(rows("Samples that are missing", "As the gateway told.", SAMPLES_MISSED,
                           units={"lasted": "s"}), 8, 8),
                Place(rows("Messages that are missing", "Numbers that the gateway dropped: central"
                           " will never have them.", MISSED), 8, 8),
                Place(rows("Clock", "When it was set, and when the agent stood still.", CLOCK,
                           units={"moved": "s", "away": "s"}), 8, 8),
            ],
            "What happened": [
                Place(rows("Events", "The latest 500 of this time.", HAPPENED), 16, 10),
                Place(rows("About", "What the gateway told of itself.", ABOUT), 8, 10),
                Place(rows("Retraining requests", "That wait for somebody.", REQUESTS), 12, 7),
                Place(rows("Changes upstream", "That wait for somebody.", CHANGES), 12, 7),
                Place(lines("Samples", "In windows that came, by model.", SAMPLES,
                            interval="5m", least=0), 24, 7),
            ],
        },
        "now-24h",
    )  # fmt: skip
