"""The division of the gateway's one number: false alarms per time, over every chart there is.

Rates of charts add under any dependence between them (a union bound on renewal rates), so shares
that sum to the budget keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.core.kernels import DETECTORS

JOINT_CHARTS = 4  # T2, SPE and their EWMAs

ALARM_SCANS = 96
"""Scans for which one alarm keeps its model from "trusted": settling, flag and off-delay."""

MOST_TIME = 0.005
"""Share of the time that false alarms may keep a model from "trusted", whatever rate is allowed."""


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """What one model brings: its inputs' sampling intervals in ns, its scan and joint charts."""

    name: str
    intervals_ns: tuple[int, ...]
    scan_ns: int
    joint_charts: int = JOINT_CHARTS


@dataclass(frozen=True, slots=True)
class Share:
    """Average run lengths in samples: per chart of each input, and per joint chart in scans."""

    inputs: tuple[float, ...]
    joint: float
    charts: int


def divide(rate_per_ns: float, models: Sequence[ModelLoad]) -> dict[str, Share]:
    """Each chart's average run length; all charts get the same rate, but where `MOST_TIME` binds.

    Args:
        rate_per_ns: false alarms per nanosecond that the person allows the whole gateway.
        models: every model of the gateway.
    """
    per_input = len(DETECTORS)
    counts = {m.name: len(m.intervals_ns) * per_input + m.joint_charts for m in models}
    each = rate_per_ns / max(sum(counts.values()), 1)
    shares = {}
    for m in models:
        charts = counts[m.name]
        # Binds only where a person allows many alarms beside the scan.
        own = min(each, MOST_TIME / (ALARM_SCANS * m.scan_ns * max(charts, 1)))
        shares[m.name] = Share(
            inputs=tuple(1.0 / (own * interval) for interval in m.intervals_ns),
            joint=1.0 / (own * m.scan_ns),
            charts=charts,
        )
    return shares
