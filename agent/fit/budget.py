"""The division of the gateway's one number: false alarms per time, over every chart there is.

Rates of charts add under any dependence between them (a union bound on renewal rates), so shares
that sum to the budget keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.configuration.schema import Configuration
from agent.core import kernels
from agent.core.delays import MOST_TIME, flag_hold, off_delay_samples
from agent.core.kernels import DETECTORS, OUTPUT_CHARTS
from agent.core.kernels.base import ON_DELAY

JOINT_CHARTS = len(kernels.JOINT_CHARTS)

JOINT_SHARE = 0.2
"""Share of a model's false alarms that its joint charts may raise: each of them watches all inputs
at once, so by their number alone they would get the less the more inputs there are to watch."""

PART = "false_alarms_per_30_days"
"""The fact of a baseline that says which part of the budget it was fitted for."""

MONTH_NS = 30 * 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """What one model brings: its inputs' sampling intervals in ns, its scan and joint charts, how
    many outputs, and the charts of its losses: one an output that has a label.
    """

    name: str
    intervals_ns: tuple[int, ...]
    scan_ns: int
    joint_charts: int = JOINT_CHARTS
    outputs: int = 0
    loss_charts: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A model's part of the budget, in false alarms per ns, and what it makes of it: average run
    lengths in samples, per chart of each input, and per joint chart in scans.

    `joint` is for `joint_charts` of them, which may be none; `charts` counts all. `alone_ns` is the
    average run length in ns of each chart of an input or output; `loss_per_ns` are the false alarms
    of each chart of losses: how long that is in labels, only a record can say.
    """

    rate_per_ns: float
    inputs: tuple[float, ...]
    joint: float
    joint_charts: int
    charts: int
    alone_ns: float
    loss_per_ns: float = 0.0


def per_30_days(rate_per_ns: float) -> float:
    """False alarms in 30 days."""
    return rate_per_ns * MONTH_NS


def alarm_scans(scan_ns: int) -> int:
    """Scans for which one alarm keeps its model from "trusted"."""
    return ON_DELAY + flag_hold(scan_ns) + off_delay_samples(scan_ns)


def loads(configuration: Configuration, interval_ns: int | None = None) -> list[ModelLoad]:
    """What every model brings; all inputs at the record's interval, at the scan's without one."""
    return [
        ModelLoad(
            name, tuple(interval_ns or model.scan for _ in model.inputs), model.scan,
            joint_charts=JOINT_CHARTS if len(model.inputs) > 1 else 0, outputs=len(model.outputs),
            loss_charts=len(model.labels),
        )
        for name, model in configuration.models.items()
    ]


def divide(rate_per_ns: float, models: Sequence[ModelLoad]) -> dict[str, Share]:
    """Each model's part, and each chart's average run length.

    A model gets its part of the rate by how many charts it has, or what `MOST_TIME` leaves of it;
    a chart of losses has one chart's part of that, its joint charts share `JOINT_SHARE` of the
    rest, the charts of its inputs and outputs all that is left, alike.
    The part does not depend on the intervals of the inputs.

    Args:
        rate_per_ns: false alarms per nanosecond that the person allows the whole gateway.
        models: every model of the gateway.
    """
    single = {
        m.name: len(m.intervals_ns) * len(DETECTORS)
        + m.outputs * (len(DETECTORS) + len(OUTPUT_CHARTS)) for m in models
    }
    counts = {m.name: single[m.name] + m.joint_charts + m.loss_charts for m in models}
    each = rate_per_ns / max(sum(counts.values()), 1)
    shares = {}
    for m in models:
        # Binds only where a person allows many alarms beside the scan.
        own = min(each * counts[m.name], MOST_TIME / (alarm_scans(m.scan_ns) * m.scan_ns))
        of_loss = own / max(counts[m.name], 1)
        rest = own - of_loss * m.loss_charts
        joint = JOINT_SHARE * rest if m.joint_charts else 0.0
        alone = max(single[m.name], 1) / (rest - joint)
        shares[m.name] = Share(
            rate_per_ns=own,
            inputs=tuple(alone / interval for interval in m.intervals_ns),
            joint=max(m.joint_charts, 1) / (JOINT_SHARE * rest * m.scan_ns),
            joint_charts=m.joint_charts,
            charts=counts[m.name],
            alone_ns=alone,
            loss_per_ns=of_loss,
        )
    return shares
