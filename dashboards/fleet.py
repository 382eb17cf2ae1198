"""The fleet: what is trusted, where it is worst, whether the promise is kept, who is silent."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from dashboards.kit import (
    VERDICTS,
    Place,
    Variable,
    figures,
    leads_to,
    lines,
    page,
    promised,
    rows,
)

UID: Final = "fieldwarden-fleet"
TO_GATEWAY: Final = leads_to("fieldwarden-gateway", site="site", gateway="gateway")
TO_MODEL: Final = leads_to("fieldwarden-model", site="site", gateway="gateway", model="model")
TO_SITE: Final = leads_to(UID, site="site")

MODELS_NOW: Final = """
    SELECT count(*) FILTER (WHERE verdict = 'trusted') AS trusted,
      count(*) FILTER (WHERE verdict = 'caution') AS caution,
      count(*) FILTER (WHERE verdict = 'unassessable') AS unassessable,
      count(*) FILTER (WHERE verdict = 'untrusted') AS untrusted
    FROM model_now WHERE site IN ($site)
"""
GATEWAYS_NOW: Final = """
    SELECT count(*) FILTER (WHERE online) AS online,
      count(*) FILTER (WHERE NOT online) AS offline,
      count(*) FILTER (WHERE online IS NULL) AS "not told"
    FROM gateway WHERE site IN ($site)
"""
TO_DO: Final = """
    SELECT (SELECT count(*) FROM incident_now WHERE site IN ($site)) AS incidents,
      (SELECT count(*) FROM request_now WHERE site IN ($site)) AS "retraining requests",
      (SELECT coalesce(sum(open_changes), 0)::bigint FROM gateway WHERE site IN ($site))
        AS "changes to decide",
      (SELECT coalesce(sum(held_tags), 0)::bigint FROM gateway WHERE site IN ($site))
        AS "tags held"
"""
PROMISE: Final = """
    SELECT count(*) FILTER (WHERE NOT (promise->>'exceeded')::boolean) AS kept,
      count(*) FILTER (WHERE (promise->>'exceeded')::boolean) AS exceeded,
      count(*) FILTER (WHERE promise IS NULL) AS "not told"
    FROM gateway WHERE site IN ($site)
"""
BY_VERDICT: Final = """
    WITH known AS MATERIALIZED (
      SELECT gateway_id, store, 'model/' || model AS subject, told
      FROM model_now WHERE site IN ($site)
    ), turned AS MATERIALIZED (
      SELECT time, gateway_id, store, subject, data->>'verdict' AS verdict, data->>'was' AS was
      FROM event WHERE kind = 'verdict' AND time >= $__timeFrom()
    ), present AS (
      SELECT v.verdict, count(known.told) AS models
      FROM (VALUES ('trusted'), ('caution'), ('unassessable'), ('untrusted')) AS v(verdict)
      LEFT JOIN known ON known.told = v.verdict
      GROUP BY 1
    ), bucket AS (
      SELECT place, at FROM generate_series(
        $__timeFrom()::timestamptz, least($__timeTo()::timestamptz, now()),
        $__interval_ms * interval '1 millisecond'
      ) WITH ORDINALITY AS g(at, place)
    ), moved AS (
      SELECT least(
          floor(extract(epoch FROM t.time - $__timeFrom()::timestamptz) * 1000 / $__interval_ms)
            + 1,
          (SELECT max(place) FROM bucket)
        ) AS place, v.verdict, sum(v.by) AS by
      FROM turned t JOIN known USING (gateway_id, store, subject)
      CROSS JOIN LATERAL (VALUES (t.verdict, 1), (t.was, -1)) AS v(verdict, by)
      GROUP BY 1, 2
    )
    SELECT bucket.at AS "time", present.verdict AS metric,
      (present.models - coalesce(sum(moved.by) OVER (
        PARTITION BY present.verdict ORDER BY bucket.place DESC), 0))::float8 AS value
    FROM bucket CROSS JOIN present
    LEFT JOIN moved ON moved.verdict = present.verdict AND moved.place = bucket.place
    ORDER BY 1, 2
"""
ALARMS: Final = """
    SELECT $__timeGroupAlias(e.time, '1d', 0), count(*)::float8 AS alarms
    FROM event e JOIN gateway g ON g.id = e.gateway_id
    WHERE e.kind = 'condition' AND $__timeFilter(e.time) AND g.site IN ($site)
      AND e.data->>'change' = 'raised' AND e.data->>'incident' = e.data->>'id'
    GROUP BY 1 ORDER BY 1
"""
CALLED_FALSE: Final = """
    SELECT $__timeGroupAlias(e.time, '1d', 0),
      count(DISTINCT (e.gateway_id, e.data->>'incident'))::float8 AS "called false"
    FROM event e JOIN gateway g ON g.id = e.gateway_id
    WHERE e.kind = 'condition' AND $__timeFilter(e.time) AND g.site IN ($site)
      AND e.data->>'change' = 'acknowledged' AND (e.data->>'false')::boolean
    GROUP BY 1 ORDER BY 1
"""
PROMISED: Final = """
    SELECT b.at AS "time",
      sum((promise->>'expected_per_30_days')::float8) / 30 AS "promised false alarms"
    FROM gateway CROSS JOIN (VALUES
      ($__timeFrom()::timestamptz), ($__timeTo()::timestamptz)) AS b(at)
    WHERE site IN ($site) AND promise IS NOT NULL
    GROUP BY 1 ORDER BY 1
"""
BY_CAUSE: Final = """
    SELECT $__timeGroupAlias(e.time, $__interval, 0), e.data->>'cause' AS metric,
      count(*)::float8 AS value
    FROM event e JOIN gateway g ON g.id = e.gateway_id
    WHERE e.kind = 'condition' AND $__timeFilter(e.time) AND g.site IN ($site)
      AND e.data->>'change' = 'raised' AND e.data->>'incident' = e.data->>'id'
    GROUP BY 1, 2 ORDER BY 1, 2
"""
WORST_SITES: Final = """
    SELECT site, count(*) AS gateways, count(*) FILTER (WHERE NOT online) AS offline,
      sum(untrusted)::bigint AS untrusted, sum(unassessable)::bigint AS unassessable,
      sum(caution)::bigint AS caution, sum(trusted)::bigint AS trusted,
      sum(open_incidents)::bigint AS incidents, sum(open_requests)::bigint AS requests
    FROM gateway_now WHERE site IN ($site)
    GROUP BY site
    ORDER BY sum(untrusted) DESC, sum(unassessable) DESC, sum(caution) DESC, site LIMIT 100
"""
WORST_GATEWAYS: Final = """
    SELECT site, gateway,
      CASE WHEN online THEN 'online' WHEN online IS NULL THEN 'not told' ELSE 'offline' END
        AS state,
      untrusted, unassessable, caution, trusted, open_incidents AS incidents,
      open_requests AS requests,
      CASE WHEN promise IS NULL THEN 'not told'
        WHEN (promise->>'exceeded')::boolean THEN 'exceeded' ELSE 'kept' END AS promise
    FROM gateway_now WHERE site IN ($site) AND (rank < 3 OR online IS NOT true)
    ORDER BY rank, untrusted DESC, unassessable DESC, caution DESC, site, gateway LIMIT 100
"""
WORST_MODELS: Final = """
    SELECT site, gateway, model, verdict, coalesce(nullif(why, ''), text) AS why, since
    FROM model_now WHERE site IN ($site) AND rank < 3
    ORDER BY rank, since DESC NULLS LAST, site, gateway, model LIMIT 100
"""
INCIDENTS: Final = """
    SELECT since, site, gateway, cause, text, conditions,
      (SELECT string_agg(m.name, ', ') FROM jsonb_array_elements_text(models) AS m(name)) AS models
    FROM incident_now WHERE site IN ($site) ORDER BY since DESC NULLS LAST LIMIT 200
"""
SILENT: Final = """
    SELECT heard_at AS "heard of last", site, gateway, reason, version
    FROM gateway
    WHERE site IN ($site)
      AND (online IS NOT true OR heard_at IS NULL OR heard_at < now() - interval '10 minutes')
    ORDER BY heard_at NULLS FIRST, site, gateway LIMIT 200
"""
REQUESTS: Final = """
    SELECT since, site, gateway, model, state, owner, text, hint
    FROM request_now WHERE site IN ($site) ORDER BY since NULLS LAST LIMIT 200
"""
CHANGES: Final = """
    SELECT to_timestamp(nullif(since_ns, 0) / 1e9) AS since, site, gateway, source, state, grade,
      hold, tags, text
    FROM change_now WHERE site IN ($site) ORDER BY 1 NULLS LAST LIMIT 200
"""
WORKERS: Final = """
    SELECT name, heard_at AS "heard of last",
      extract(epoch FROM now() - heard_at)::float8 AS silent, rows, messages, duplicates,
      unreadable, trouble
    FROM worker ORDER BY name
"""
RELAYS: Final = """
    SELECT t.target, count(r.id) FILTER (WHERE r.why = '') AS waiting,
      extract(epoch FROM now() - min(r.queued_at) FILTER (WHERE r.why = ''))::float8 AS oldest,
      t.delivered, count(r.id) FILTER (WHERE r.why <> '') AS "dead letters", t.dropped, t.trouble
    FROM relay_target t LEFT JOIN relay r ON r.target = t.target
    GROUP BY t.target ORDER BY t.target
"""
EVENTS: Final = """
    SELECT $__timeGroupAlias(e.time, $__interval, 0), e.kind AS metric, count(*)::float8 AS value
    FROM event e JOIN gateway g ON g.id = e.gateway_id
    WHERE e.kind <> 'finding' AND $__timeFilter(e.time) AND g.site IN ($site)
    GROUP BY 1, 2 ORDER BY 1, 2
"""
WINDOWS: Final = """
    SELECT t.day::timestamp AT TIME ZONE 'UTC' AS "time", sum(t.windows)::float8 AS windows
    FROM total t JOIN series s ON s.id = t.series_id JOIN gateway g ON g.id = s.gateway_id
    WHERE $__timeFilter(t.day) AND g.site IN ($site)
    GROUP BY 1 ORDER BY 1
"""


def built() -> models.Dashboard:
    """The dashboard."""
    alarms = lines(
        "Alarms a day against the promise",
        "Incidents that began, those that people called false, and how many false ones all"
        " gateways together have promised at most.",
        ALARMS, CALLED_FALSE, PROMISED, bars=True, since="30d", interval="1d", least=0,
    )  # fmt: skip
    return page(
        UID, "Fieldwarden: fleet", "All gateways that central hears of.",
        [Variable("site", "Site", "SELECT site FROM gateway GROUP BY site ORDER BY site", True)],
        {
            "Now": [
                Place(figures("Models", "By what their verdict is worth now.", MODELS_NOW,
                              VERDICTS), 8, 5),
                Place(figures("Gateways", "Whether they are there.", GATEWAYS_NOW,
                              ["online", "offline"]), 5, 5),
                Place(figures("To do", "What waits for people.", TO_DO), 6, 5),
                Place(figures("Promise", "Gateways, by whether more alarms were called false in"
                              " 30 days than they promised.", PROMISE,
                              ["kept", "exceeded"]), 5, 5),
                Place(lines("Models by verdict", "As gateways told it; what is worth less because"
                            " a gateway is silent is in the figures above.", BY_VERDICT,
                            stacked=True, interval="5m", least=0, colours=VERDICTS), 12, 9),
                Place(promised(alarms, "promised false alarms"), 12, 9),
            ],
            "Worst first": [
                Place(rows("Sites", "The worst first.", WORST_SITES, links={"site": TO_SITE}),
                      10, 9),
                Place(rows("Gateways", "With any model that is not trusted, or not there.",
                           WORST_GATEWAYS, links={"gateway": TO_GATEWAY}), 14, 9),
                Place(rows("Models", "That are not trusted now, and why.", WORST_MODELS,
                           links={"gateway": TO_GATEWAY, "model": TO_MODEL}), 24, 9),
            ],
            "Incidents": [
                Place(rows("Open incidents", "The latest first.", INCIDENTS,
                           links={"gateway": TO_GATEWAY}), 14, 9),
                Place(lines("Incidents by cause", "As they began.", BY_CAUSE, stacked=True,
                            bars=True, interval="1h", least=0), 10, 9),
            ],
            "People": [
                Place(rows("Not heard of", "Offline, or silent for more than 10 minutes; who was"
                           " never heard of first.", SILENT, links={"gateway": TO_GATEWAY}), 8, 9),
                Place(rows("Retraining requests", "That wait for somebody, the oldest first.",
                           REQUESTS, links={"gateway": TO_GATEWAY, "model": TO_MODEL}), 8, 9),
                Place(rows("Changes upstream", "That wait for somebody, the oldest first.",
                           CHANGES, links={"gateway": TO_GATEWAY}), 8, 9),
            ],
            "Central": [
                Place(rows("Workers", "What each took in since it began.", WORKERS,
                           units={"silent": "s"}), 12, 7),
                Place(rows("Relays", "Events on their way to webhooks.", RELAYS,
                           units={"oldest": "s"}), 12, 7),
                Place(lines("Events by kind", "As they became true, without findings, which are"
                            " details of conditions.", EVENTS, stacked=True,
                            bars=True, interval="5m", least=0), 12, 8),
                Place(lines("Windows of inputs", "Per day.", WINDOWS, bars=True, since="90d",
                            interval="1d", least=0), 12, 8),
            ],
        },
        "now-24h",
    )  # fmt: skip
