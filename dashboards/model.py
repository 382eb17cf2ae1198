"""One model: its verdict over time, how its inputs moved from their training, how it errs."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from dashboards.gateway import GATEWAY, SITE
from dashboards.kit import (
    VERDICTS,
    Place,
    Variable,
    figures,
    heat,
    lines,
    page,
    rows,
    states,
)
from dashboards.spans import bucketed, verdicts

UID: Final = "fieldwarden-model"
_OF_GATEWAY: Final = "site = '$site' AND gateway = '$gateway'"
_SERIES: Final = (
    "FROM series s JOIN gateway g ON g.id = s.gateway_id"
    " WHERE g.site = '$site' AND g.gateway = '$gateway'"
)
MODEL: Final = Variable(
    "model", "Model", f"SELECT DISTINCT model FROM model_now WHERE {_OF_GATEWAY} ORDER BY model"
)
TAGS: Final = f"SELECT DISTINCT s.tag {_SERIES} AND s.model = '$model' ORDER BY s.tag"
TAG: Final = Variable("tag", "Inputs", TAGS, several=True)
ONE_TAG: Final = Variable("input", "One input", TAGS)
_HERE: Final = f"{_OF_GATEWAY} AND model = '$model'"
_UNIT: Final = 1024  # of a standard deviation, which summaries count in

STATE: Final = f"""
    SELECT verdict, version, left(data->>'baseline_hash', 12) AS baseline,
      owner->>'team' AS owner
    FROM model_now WHERE {_HERE}
"""
WHY: Final = f"""
    SELECT coalesce(nullif(m.why, ''), r.reason->>'text') AS why, r.reason->>'cause' AS cause,
      r.reason->>'tag' AS tag, r.reason->>'hint' AS hint, m.since
    FROM model_now m LEFT JOIN LATERAL jsonb_array_elements(m.reasons) AS r(reason) ON true
    WHERE {_HERE}
"""


def _windows(value: str, which: str = "r.tag IN ($tag)", name: str = "r.tag") -> str:
    """A figure of windows over time, by input."""
    return f"""
    SELECT $__timeGroupAlias(s.start_at, $__interval), {name} AS metric,
      {value} AS value
    FROM summary s JOIN series r ON r.id = s.series_id JOIN gateway g ON g.id = r.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND r.model = '$model' AND {which}
      AND $__timeFilter(s.start_at)
    GROUP BY 1, 2 ORDER BY 1, 2
"""


_MEAN: Final = f"sum(s.sum)::float8 / nullif(sum(s.good), 0)::float8 / {_UNIT}"
_SQUARE: Final = f"sum(s.sum_sq)::float8 / nullif(sum(s.good), 0)::float8 / {_UNIT * _UNIT}"
MEAN: Final = _windows(_MEAN)
DEVIATION: Final = _windows(f"sqrt(greatest({_SQUARE} - ({_MEAN}) ^ 2, 0))")
OUTSIDE: Final = _windows("(sum(s.extrapolating) / nullif(sum(s.scans), 0))::float8")
UNUSABLE: Final = _windows("(1 - sum(s.good) / nullif(sum(s.count), 0))::float8")
JOINTLY: Final = _windows(
    "(sum(s.jointly) / nullif(sum(s.scans), 0))::float8", "r.tag IN ($tag)",
    "'all inputs together'",
)  # fmt: skip
HISTOGRAM: Final = """
    SELECT $__timeGroupAlias(s.start_at, $__interval), lpad(h.bin::text, 2, '0') AS metric,
      sum(h.samples::bigint)::float8 AS value
    FROM summary s JOIN series r ON r.id = s.series_id JOIN gateway g ON g.id = r.gateway_id
    CROSS JOIN LATERAL jsonb_array_elements_text(s.histogram) WITH ORDINALITY AS h(samples, bin)
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND r.model = '$model' AND r.tag = '$input'
      AND $__timeFilter(s.start_at)
    GROUP BY 1, 2 ORDER BY 1, 2
"""
IN_UNIT: Final = f"""
    SELECT $__timeGroupAlias(s.start_at, $__interval),
      max(r.centre) + max(r.scale) * ({_MEAN}) AS mean,
      max(r.centre) + max(r.scale) * min(s.min) / {_UNIT}.0 AS least,
      max(r.centre) + max(r.scale) * max(s.max) / {_UNIT}.0 AS greatest,
      max(r.centre) AS "mean in training",
      max(r.centre) - 3 * max(r.scale) AS "3 deviations below",
      max(r.centre) + 3 * max(r.scale) AS "3 deviations above"
    FROM summary s JOIN series r ON r.id = s.series_id JOIN gateway g ON g.id = r.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND r.model = '$model' AND r.tag = '$input'
      AND $__timeFilter(s.start_at)
    GROUP BY 1, r.id ORDER BY 1
"""
LOSSES: Final = """
    WITH told AS (
      SELECT s.start_at, r.tag, (s.losses->'losses'->>'count')::float8 AS labels,
        (SELECT sum(p.part::float8)
          FROM jsonb_array_elements_text(s.losses->'losses'->'sum') AS p(part)) AS total
      FROM summary s JOIN series r ON r.id = s.series_id JOIN gateway g ON g.id = r.gateway_id
      WHERE g.site = '$site' AND g.gateway = '$gateway' AND r.model = '$model'
        AND $__timeFilter(s.start_at) AND s.losses ? 'losses'
    )
    SELECT $__timeGroupAlias(start_at, $__interval), tag AS metric,
      sum(total) / nullif(sum(labels), 0) AS value
    FROM told GROUP BY 1, 2 HAVING sum(labels) > 0 ORDER BY 1, 2
"""
BY_DAY: Final = """
    SELECT t.day::timestamp AT TIME ZONE 'UTC' AS "time", s.tag AS metric,
      sum(t.sum)::float8 / nullif(sum(t.good), 0)::float8 / 1024 AS value
    FROM total t JOIN series s ON s.id = t.series_id JOIN gateway g ON g.id = s.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND s.model = '$model' AND s.tag IN ($tag)
      AND $__timeFilter(t.day)
    GROUP BY 1, 2 ORDER BY 1, 2
"""
MOVED: Final = f"""
    SELECT r.tag, r.unit, r.centre AS "mean in training",
      r.centre + r.scale * ({_MEAN}) AS "mean now",
      ({_MEAN}) AS "moved, in deviations",
      (sum(s.extrapolating) / nullif(sum(s.scans), 0))::float8 AS "outside of training",
      (1 - sum(s.good) / nullif(sum(s.count), 0))::float8 AS unusable
    FROM summary s JOIN series r ON r.id = s.series_id JOIN gateway g ON g.id = r.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND r.model = '$model' AND r.tag IN ($tag)
      AND $__timeFilter(s.start_at)
    GROUP BY r.id ORDER BY abs({_MEAN}) DESC NULLS LAST, r.tag
"""
INCIDENTS: Final = f"""
    SELECT since, cause, text, data->>'severity' AS severity, conditions, data->>'hint' AS hint
    FROM incident_now WHERE {_OF_GATEWAY} AND models ? '$model' ORDER BY since DESC NULLS LAST
"""
REQUESTS: Final = f"""
    SELECT since, id, state, owner, text, hint
    FROM request_now WHERE {_HERE} ORDER BY since NULLS LAST
"""
DECIDED: Final = """
    SELECT e.time, e.data->>'change' AS what, e.data->>'version' AS version, e.data->>'by' AS by,
      e.data->>'text' AS text, e.data->>'note' AS note
    FROM event e JOIN gateway g ON g.id = e.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND e.subject = 'model/$model'
      AND e.kind IN ('retraining', 'review', 'evidence') AND $__timeFilter(e.time)
    ORDER BY e.time DESC LIMIT 200
"""
VERDICT_EVENTS: Final = """
    SELECT e.time, e.data->>'verdict' AS verdict, e.data->>'was' AS was,
      (SELECT string_agg(r.reason->>'text', '; ')
        FROM jsonb_array_elements(e.data->'reasons') AS r(reason)) AS why
    FROM event e JOIN gateway g ON g.id = e.gateway_id
    WHERE g.site = '$site' AND g.gateway = '$gateway' AND e.subject = 'model/$model'
      AND e.kind = 'verdict' AND $__timeFilter(e.time)
    ORDER BY e.time DESC LIMIT 200
"""


def built() -> models.Dashboard:
    """The dashboard."""
    shown = bucketed(verdicts("m.model = '$model'"), VERDICTS)
    return page(
        UID, "Fieldwarden: model", "One model on one gateway, and what it is given.",
        [SITE, GATEWAY, MODEL, TAG, ONE_TAG],
        {
            "Verdict": [
                Place(figures("Now", "What its verdict is worth.", STATE), 8, 6),
                Place(rows("Why", "And what to do.", WHY), 16, 6),
                Place(states("Verdict", "The worst of each step; grey where nothing was heard in"
                             " time.", shown, VERDICTS), 24, 5),
                Place(rows("Changes of the verdict", "The latest first.", VERDICT_EVENTS), 12, 7),
                Place(rows("Open incidents", "That touch it.", INCIDENTS), 12, 7),
            ],
            "Inputs against their training": [
                Place(rows("Moved", "In the time that is shown, the farthest first.", MOVED,
                           units={"outside of training": "percentunit", "unusable": "percentunit"}),
                      24, 8),
                Place(lines("Mean", "In standard deviations of the training record: 0 is as"
                            " trained.", MEAN, interval="5m"), 12, 9),
                Place(lines("Standard deviation", "1 is as trained.", DEVIATION, interval="5m",
                            least=0), 12, 9),
                Place(lines("Outside of training", "Share of scans with the input beyond its"
                            " trained range.", OUTSIDE, unit="percentunit", interval="5m",
                            least=0), 8, 8),
                Place(lines("Far from training together", "Share of scans in which each input was"
                            " in its range, and all together were not.", JOINTLY,
                            unit="percentunit", interval="5m", least=0), 8, 8),
                Place(lines("Unusable samples", "Share of those that came.", UNUSABLE,
                            unit="percentunit", interval="5m", least=0), 8, 8),
            ],
            "One input": [
                Place(heat("Histogram", "Samples of $input in the 16 bins of its training record,"
                           " the lowest first.", HISTOGRAM), 12, 9),
                Place(lines("In its unit", "$input: mean, least and greatest, and as trained.",
                            IN_UNIT, interval="5m"), 12, 9),
            ],
            "Errors and decisions": [
                Place(lines("Mean loss", "Of outputs that have labels, by when they were"
                            " predicted.", LOSSES, interval="1h"), 12, 8),
                Place(lines("Mean by day", "In standard deviations of the training record.",
                            BY_DAY, since="365d", interval="1d"), 12, 8),
                Place(rows("Retraining requests", "That wait for somebody.", REQUESTS), 12, 7),
                Place(rows("Decided, tried and found", "The latest first.", DECIDED), 12, 7),
            ],
        },
        "now-7d",
    )  # fmt: skip
