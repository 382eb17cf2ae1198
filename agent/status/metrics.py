"""Prometheus metrics, drawn from the status document when somebody scrapes.

Own registry, so that nothing else in the process leaks in. Names follow the Prometheus
conventions: base units, `_total` for counters, `_timestamp_seconds` for moments.

Invariant: label sets are bounded. Models and sources are bounded by the configuration, states,
causes and severities by their vocabulary (a foreign word counts as ``unknown``), drop reasons by
`MAX_REASONS`, inputs of models by `MAX_INPUTS`, outputs by `error_metrics.MAX_OUTPUTS`. No other
metric has a tag as label: 20,000 tags are the API's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from agent.status import error_metrics, hook_metrics, view
from agent.status.families import family as _family
from agent.status.families import total as _total
from agent.status.view import Document

MAX_SERIES: Final = 256  # models or sources; the configuration allows no more
MAX_REASONS: Final = 16  # distinct drop reasons; further ones count as "other"
MAX_INPUTS: Final = 500  # inputs of models, in the order of the configuration
_NS: Final = 1e9


class _DocumentCollector(Collector):
    """Turns the document into metric families; reads it anew at each scrape."""

    def __init__(
        self,
        document: Callable[[], Document],
        now_ns: Callable[[], int],
        requests: Mapping[tuple[str, int], int],
    ) -> None:
        self._document, self._now_ns, self._requests = document, now_ns, requests

    def collect(self) -> Iterator[Metric]:
        document, now_ns = self._document(), self._now_ns()
        yield from _agent(document, now_ns)
        yield from _models(document, now_ns)
        yield from _extrapolation(document)
        yield from error_metrics.collected(document)
        yield _retraining(document)
        yield from _sources(document)
        yield from _plant(document)
        yield from _outbox(document)
        yield from _changes(document)
        yield from hook_metrics.collected(document)
        yield from _process(document)
        http = CounterMetricFamily(
            "fieldwarden_http_requests", "Requests answered.", labels=["route", "code"]
        )
        for (route, code), count in sorted(self._requests.items()):
            http.add_metric([route, str(code)], count)
        yield http


class Metrics:
    """The `/metrics` page.

    Args:
        document: gives the status document; see `agent.status.view`.
        now_ns: engine time now.
    """

    def __init__(self, document: Callable[[], Document], now_ns: Callable[[], int]) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_DocumentCollector(document, now_ns, self._requests))

    def count_request(self, route: str, code: int) -> None:
        """Count one answered request; `route` is a route's template, never a client's path."""
        self._requests[route, code] += 1

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type: OpenMetrics where `accept` asks for it, else text."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


def _gauge(name: str, help_text: str, value: float | None) -> Iterator[Metric]:
    """A gauge without labels; absent rather than zero where the value is unknown."""
    if value is not None:
        yield GaugeMetricFamily(f"fieldwarden_{name}", help_text, value=value)


def _seconds(time_ns: Any) -> float | None:
    return None if time_ns is None else time_ns / _NS


def _states(
    name: str,
    help_text: str,
    labels: tuple[str, str],
    states: Sequence[str],
    rows: Iterable[tuple[str, Any]],
) -> Metric:
    """One series per row and state, 1 for the state that holds."""
    family = _family(name, help_text, *labels)
    for row, state in rows:
        for each in states:
            family.add_metric([row, each], float(each == state))
    return family


def _agent(document: Document, now_ns: int) -> Iterator[Metric]:
    info = {key: str(document.get(key, "")) for key in ("site", "gateway", "version")}
    yield InfoMetricFamily("fieldwarden", "Who this agent is.", value=info)
    healthy = float(not view.stalled(document, now_ns))
    yield from _gauge("healthy", "1 while intake, engine and store make progress.", healthy)
    age = view.age_ns(document, now_ns)
    yield from _gauge("status_age_seconds", "Age of the newest status.", _seconds(age))
    started = _seconds(document.get("started_ns") or None)
    yield from _gauge("start_timestamp_seconds", "When the agent started.", started)
    yield from _gauge("boot", "How many times this store was opened.", document.get("boot"))
    yield CounterMetricFamily(
        "fieldwarden_entries", "Entries journaled.", value=document.get("sequence") or 0
    )


def _models(document: Document, now_ns: int) -> Iterator[Metric]:
    models = [view.effective_model(m, now_ns) for m in view.items(document, "models")[:MAX_SERIES]]
    yield _states(
        "model_verdict",
        "1 for the verdict that holds.",
        ("model", "verdict"),
        view.VERDICTS,
        ((str(m.get("name")), m["verdict"]) for m in models),
    )
    since = _family("model_verdict_since_timestamp_seconds", "Since when it holds.", "model")
    until = _family(
        "model_verdict_valid_until_timestamp_seconds", "Until when it is valid.", "model"
    )
    scans = _total("model_scans", "Scans judged.", "model")
    reasons = _family("model_reasons", "Reasons of the verdict, by cause.", "model", "cause")
    for model in models:
        name = str(model.get("name"))
        for family, value in ((since, "since_ns"), (until, "valid_until_ns")):
            if model.get(value) is not None:
                family.add_metric([name], model[value] / _NS)
        scans.add_metric([name], model.get("scans") or 0)
        causes = Counter(_known(r.get("cause"), view.CAUSES) for r in model.get("reasons") or ())
        for cause in view.CAUSES:
            reasons.add_metric([name, cause], causes[cause])
    yield from (since, until, scans, reasons)


def _extrapolation(document: Document) -> Iterator[Metric]:
    """Where models worked outside of what they were trained on: counts, so that shares of any time
    can be had: ``rate(..._extrapolating_scans_total) / rate(..._scans_total)``.
    """
    now = _family("model_extrapolating", "1 while it works outside of its training.", "model")
    any_way = _total("model_extrapolating_scans", "Scans outside of training in any way.", "model")
    jointly = _total(
        "model_jointly_extrapolating_scans",
        "Scans with each input in its range, but together far from training.", "model",
    )
    scans = _total("input_scans", "Scans with the input known.", "model", "input")
    own = _total(
        "input_extrapolating_scans", "Of these, outside its trained range.", "model", "input"
    )
    left = MAX_INPUTS
    for model in view.items(document, "models")[:MAX_SERIES]:
        name, found = str(model.get("name")), model.get("extrapolation")
        if found:
            now.add_metric([name], float(bool(found.get("now"))))
            any_way.add_metric([name], found.get("extrapolating") or 0)
            jointly.add_metric([name], found.get("jointly") or 0)
        inputs = [one for one in view.items(model, "inputs") if one.get("extrapolation")][:left]
        left -= len(inputs)
        for one in inputs:
            counted = one["extrapolation"]
            scans.add_metric([name, str(one.get("tag"))], counted.get("scans") or 0)
            own.add_metric([name, str(one.get("tag"))], counted.get("extrapolating") or 0)
    yield from (now, any_way, jointly, scans, own)


def _retraining(document: Document) -> Metric:
    """How many requests of each model wait for a person."""
    waiting = Counter(
        str(one.get("model")) for one in view.items(document, "retraining")
        if one.get("state") == "open"
    )
    family = _family(
        "retraining_requests_open", "Retraining requests that nobody has decided on.", "model"
    )
    for model in view.items(document, "models")[:MAX_SERIES]:
        family.add_metric([str(model.get("name"))], waiting[str(model.get("name"))])
    return family


def _changes(document: Document) -> Iterator[Metric]:
    """Changes upstream that somebody must decide on, and tags that are held for them."""
    family = _family("changes_open", "Changes upstream that are not over, by state.", "state")
    found = Counter(str(one.get("state")) for one in view.items(document, "changes"))
    for state in view.CHANGE_STATES:
        family.add_metric([state], found[state])
    yield family
    held = {
        tag for one in view.items(document, "changes")
        if one.get("hold") == "held" and one.get("state") in view.HOLDING
        for tag in one.get("held_tags") or ()
    }
    yield from _gauge("tags_held", "Tags whose samples break their contract.", float(len(held)))


def _sources(document: Document) -> Iterator[Metric]:
    sources = view.items(document, "sources")[:MAX_SERIES]
    yield _states(
        "source_state",
        "1 for the state that the source is in.",
        ("source", "state"),
        view.SOURCE_STATES,
        ((str(s.get("name")), s.get("state")) for s in sources),
    )
    received = _total("source_samples_received", "Samples received.", "source", "protocol")
    arrival = _family("source_last_arrival_timestamp_seconds", "Newest sample.", "source")
    for source in sources:
        name = str(source.get("name"))
        received.add_metric([name, str(source.get("protocol", ""))], source.get("received") or 0)
        if source.get("last_arrival_ns"):
            arrival.add_metric([name], source["last_arrival_ns"] / _NS)
    yield from (received, arrival)


def _plant(document: Document) -> Iterator[Metric]:
    tags = _family("tags", "Tags, by the quality of their newest value.", "quality")
    found = Counter(view.quality_class(tag) for tag in view.items(document, "tags"))
    for quality in view.QUALITY_CLASSES:
        tags.add_metric([quality], found[quality])
    yield tags
    yield _alarms("conditions", "Open conditions.", view.open_conditions(document))
    opened = [incident for incident in view.incidents(document) if incident["open"]]
    yield _alarms("incidents", "Open incidents: the conditions of one fault are one.", opened)
    begun = document.get("incidents_since_start")
    if begun is not None:
        yield CounterMetricFamily("fieldwarden_incidents_begun", "Incidents so far.", value=begun)
    budget = document.get("budget") or {}
    yield from _gauge(
        "false_alarms_expected_per_30_days",
        "False alarms promised at most in 30 days.",
        budget.get("expected_per_30_days"),
    )
    yield from _gauge(
        "false_alarms_promised",
        "False alarms promised at most in the watched part of the last 30 days.",
        budget.get("promised"),
    )
    exceeded = budget.get("exceeded")
    yield from _gauge(
        "false_alarm_budget_exceeded",
        "1 when more alarms were acknowledged as false than promised, at 95 % (Poisson).",
        None if exceeded is None else float(exceeded),
    )
    yield from _gauge(
        "alarms_raised_30_days", "Incidents in 30 days: alarms of one fault count once.",
        budget.get("raised_30_days"),
    )
    yield from _gauge(
        "alarms_acknowledged_30_days",
        "Of these, acknowledged by people.",
        budget.get("acknowledged_30_days"),
    )
    yield from _gauge(
        "alarms_acknowledged_false_30_days",
        "Of these, acknowledged as false by people.",
        budget.get("acknowledged_false"),
    )


def _alarms(name: str, help_text: str, rows: Iterable[Mapping[str, Any]]) -> Metric:
    """How many there are of each severity and cause."""
    family = _family(name, help_text, "severity", "cause")
    found = Counter(
        (_known(row.get("severity"), view.SEVERITIES), _known(row.get("cause"), view.CAUSES))
        for row in rows
    )
    for severity in (*view.SEVERITIES, "unknown"):
        for cause in view.CAUSES:
            family.add_metric([severity, cause], found[severity, cause])
    return family


def _outbox(document: Document) -> Iterator[Metric]:
    outbox = document.get("outbox") or {}
    if not outbox.get("configured"):
        return
    yield from _gauge(
        "uplink_connected", "1 while central is connected.", float(bool(outbox.get("connected")))
    )
    pending = outbox.get("pending")
    yield from _gauge("outbox_pending_messages", "Messages that wait for central.", pending)
    yield from _gauge("outbox_pending_bytes", "Their size.", outbox.get("bytes"))
    oldest = _seconds(outbox.get("oldest_ns"))
    yield from _gauge("outbox_oldest_timestamp_seconds", "When the oldest was written.", oldest)
    delivered = _total("outbox_messages_delivered", "Messages that central acknowledged.")
    delivered.add_metric([], outbox.get("delivered") or 0)
    dropped = _total("outbox_messages_dropped", "Messages dropped, by reason.", "reason")
    for reason, count in _capped(outbox.get("dropped") or {}).items():
        dropped.add_metric([reason], count)
    yield from (delivered, dropped)


def _process(document: Document) -> Iterator[Metric]:
    process = document.get("process") or {}
    lag, rss, cpu = (process.get(k) for k in ("loop_lag_p99_ms", "rss_mb", "cpu_percent"))
    yield from _gauge(
        "loop_lag_p99_seconds", "99th percentile of the loop's lag.", _scaled(lag, 1e-3)
    )
    yield from _gauge("resident_memory_bytes", "Resident memory of the agent.", _scaled(rss, 1e6))
    yield from _gauge("cpu_usage_ratio", "Share of one core in use.", _scaled(cpu, 1e-2))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _known(word: Any, vocabulary: Sequence[str]) -> str:
    return word if word in vocabulary else "unknown"


def _capped(dropped: Mapping[str, int]) -> dict[str, int]:
    """At most `MAX_REASONS` reasons, in a stable order; the rest is added up as ``other``."""
    reasons = sorted(dropped.items())
    kept = dict(reasons[:MAX_REASONS])
    rest = sum(count for _, count in reasons[MAX_REASONS:])
    if rest:
        kept["other"] = kept.get("other", 0) + rest
    return kept
