"""Metrics of relays: bounded by the configuration, as are the reasons why messages are dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import Metric

from agent.status.families import family, total

_NOW: Final = {
    "waiting": ("central_relay_waiting", "Messages that wait for a relay's target."),
    "oldest_s": ("central_relay_oldest_seconds", "How long the oldest of them has waited."),
    "dead": ("central_relay_dead", "Messages given up that are kept, to be sent again."),
}


def collected(relays: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Of each relay, as `relay_queue.counts` tells them; nothing where there is none."""
    if not relays:
        return
    for key, (name, help_text) in _NOW.items():
        found = family(name, help_text, "relay")
        for one in relays:
            found.add_metric([one["name"]], one[key])
        yield found
    trouble = family("central_relay_trouble", "1 while a target does not take messages.", "relay")
    delivered = total("central_relay_delivered", "Messages that a target took.", "relay")
    dropped = total("central_relay_dropped", "Messages given up, by reason.", "relay", "reason")
    for one in relays:
        trouble.add_metric([one["name"]], float(bool(one["trouble"])))
        delivered.add_metric([one["name"]], one["delivered"])
        for reason, count in one["dropped"].items():
            dropped.add_metric([one["name"], reason], count)
    yield from (trouble, delivered, dropped)
