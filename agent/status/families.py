"""Metric families of the agent, by their name without its prefix."""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


def family(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    """A gauge with labels."""
    return GaugeMetricFamily(f"fieldwarden_{name}", help_text, labels=labels)


def total(name: str, help_text: str, *labels: str) -> CounterMetricFamily:
    """A counter with labels; its samples end in ``_total``."""
    return CounterMetricFamily(f"fieldwarden_{name}", help_text, labels=labels)
