"""Prometheus metrics of the fleet and of the service that keeps it.

Invariant: label sets are bounded: verdicts and states by their vocabulary, workers by the
configuration, sites by `MAX_SITES`, the worst first; further ones count as "other". No metric has a
gateway as label: 10,000 of them are the API's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from agent.central.worst import VERDICTS
from agent.fleet import relay_metrics
from agent.fleet.rollup import Fleet
from agent.status.families import family, total

MAX_SITES: Final = 200
_STATES: Final = ("online", "offline", "unknown", "silent")
_PER_SITE: Final = {
    "open_incidents": ("fleet_incidents_open", "Open incidents."),
    "open_requests": ("fleet_retraining_requests_open", "Requests that somebody has to act on."),
    "open_changes": ("fleet_changes_open", "Changes upstream that nobody has decided on."),
    "held_tags": ("fleet_tags_held", "Tags whose samples count for nothing until then."),
    "missing": ("fleet_messages_missing", "Messages whose absence nothing explains."),
}
_PER_WORKER: Final = {
    "rows": ("central_rows", "Rows committed since the worker began."),
    "messages": ("central_messages", "Messages that were new since the worker began."),
    "duplicates": ("central_duplicates", "Messages dropped as duplicates."),
    "unreadable": ("central_unreadable", "Messages dropped because nothing could be read."),
}
_PROMISE: Final = ("kept", "exceeded", "not_told")


class FleetMetrics:
    """The `/metrics` page."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()

    def count_request(self, route: str, code: int) -> None:
        """Count one answered request; `route` is a route's template, never a client's path."""
        self._requests[route, code] += 1

    def render(
        self, fleet: Fleet, workers: Sequence[Mapping[str, Any]],
        relays: Sequence[Mapping[str, Any]], accept: str,
    ) -> tuple[bytes, str]:  # fmt: skip
        """The page and its content type: OpenMetrics where `accept` asks for it, else text."""
        encoder, content_type = choose_encoder(accept)
        registry = CollectorRegistry(auto_describe=False)
        told = [*_fleet(fleet), *_service(workers), *relay_metrics.collected(relays)]
        registry.register(_Collected([*told, self._answered()]))
        return encoder(registry), content_type

    def _answered(self) -> Metric:
        http = total("http_requests", "Requests answered.", "route", "code")
        for (route, code), count in sorted(self._requests.items()):
            http.add_metric([route, str(code)], count)
        return http


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _sites(fleet: Fleet) -> list[Mapping[str, Any]]:
    """A line for each site; those beyond the limit are one, "other"."""
    shown, rest = list(fleet.sites[:MAX_SITES]), fleet.sites[MAX_SITES:]
    if rest:
        keys = [key for key in rest[0] if key != "site"]
        shown.append({"site": "other", **{key: sum(one[key] for one in rest) for key in keys}})
    return shown


def _fleet(fleet: Fleet) -> Iterator[Metric]:
    sites = _sites(fleet)
    gateways = family(
        "fleet_gateways", "Gateways; a silent one is offline or not heard of.", "site", "state"
    )
    models = family("fleet_models", "Models, by what a verdict is worth now.", "site", "verdict")
    for one in sites:
        for state in _STATES:
            gateways.add_metric([one["site"], state], one[state])
        for verdict in VERDICTS:
            models.add_metric([one["site"], verdict], one[verdict])
    yield gateways
    yield models
    for key, (name, help_text) in _PER_SITE.items():
        found = family(name, help_text, "site")
        for one in sites:
            found.add_metric([one["site"]], one[key])
        yield found
    told = fleet.totals["promise"]
    promises = family("fleet_promises", "Gateways, by how false alarms are as promised.", "kept")
    for word in _PROMISE:
        promises.add_metric([word], told[word])
    yield promises
    yield GaugeMetricFamily(
        "fieldwarden_fleet_promise_exceeded",
        "1 when the fleet has more false alarms than promised altogether, at 95 % (Poisson).",
        value=float(told["together_exceeded"]),
    )
    yield GaugeMetricFamily(
        "fieldwarden_fleet_read_timestamp_seconds",
        "When the database was asked, by its clock.", value=fleet.at.timestamp(),
    )  # fmt: skip


def _service(workers: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    age = family("central_worker_heard_seconds", "Since a worker's last sign of life.", "worker")
    trouble = family("central_worker_trouble", "1 while a worker can not store.", "worker")
    for one in workers:
        age.add_metric([one["name"]], one["heard_s"] or 0.0)
        trouble.add_metric([one["name"]], float(bool(one["trouble"])))
    yield age
    yield trouble
    for key, (name, help_text) in _PER_WORKER.items():
        found = total(name, help_text, "worker")
        for one in workers:
            found.add_metric([one["name"]], one[key])
        yield found
