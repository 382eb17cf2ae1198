"""Fit: a model's training record -> its baseline, and the table that shows the promise.

The gateway's one number (false alarms per time) is divided over all charts of all models; each
chart's thresholds are calibrated to its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agent.config import Configuration
from agent.core.baseline import Baseline, InputBaseline, ModeBaseline
from agent.csv_data import Table
from agent.fit.budget import ModelLoad, Share, divide
from agent.fit.joint import JointFit, fit_joint
from agent.fit.univariate import ENOUGH_TAU, InputFit, fit_input
from agent.types import Float64

Progress = Callable[[str, int, int], None]
_MONTH_NS = 30 * 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class FitRow:
    """One line of the table: an input, its dynamics, its thresholds, its share of the budget."""

    tag: str
    unit: str
    tau_s: float
    n_eff: float
    r2: float
    thresholds: dict[str, str]
    false_alarms_per_month: float
    provisional: bool
    needed_s: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FitReport:
    """The baseline, and what a person should see of how it came about."""

    baseline: Baseline
    rows: tuple[FitRow, ...]
    joint_per_month: float
    gateway_per_month: float
    notes: tuple[str, ...] = field(default=())


def fit_model(
    configuration: Configuration, name: str, table: Table, *, progress: Progress | None = None,
    record: str = "",
) -> FitReport:
    """Learn one model's baseline from its training record.

    Args:
        configuration: says the inputs and the gateway's budget.
        name: of the model.
        table: the record; it must have a column for every input of the model.
        record: where the record came from; `drill` takes it from there again.
        progress: told (what, done, of) as the work goes on.

    Raises:
        BaselineError: an input without a usable sample.
        FieldwardenError: a column is missing.
    """
    model = configuration.models[name]
    part = table.select(model.inputs)
    tell = progress or (lambda what, done, of: None)
    steps = len(model.inputs) + 1
    share = shares(configuration, table.interval_ns)[name]
    fits: list[InputFit] = []
    for position, tag in enumerate(model.inputs):
        tell(tag, position, steps)
        column = np.ascontiguousarray(part.column(tag))
        fits.append(
            fit_input(column, interval_ns=table.interval_ns, arl=share.inputs[position], name=tag)
        )
    tell("relations between inputs", len(model.inputs), steps)
    joint = fit_joint(
        _standardised(part.values, fits), model.inputs, interval_ns=table.interval_ns,
        arl=share.joint,
    )
    tell("done", steps, steps)
    return _report(configuration, name, table, fits, joint, share, record)


def shares(configuration: Configuration, interval_ns: int) -> dict[str, Share]:
    """Each model's share of the gateway's budget, with the record's interval for all inputs."""
    loads = [
        ModelLoad(other, tuple(interval_ns for _ in model.inputs), model.scan)
        for other, model in configuration.models.items()
    ]
    return divide(configuration.gateway.false_alarms_per_ns, loads)


def _standardised(values: Float64, fits: list[InputFit]) -> Float64:
    centre = np.array([item.centre for item in fits])
    scale = np.array([item.scale for item in fits])
    return np.ascontiguousarray((values - centre) / scale)


def _report(
    configuration: Configuration, name: str, table: Table, fits: list[InputFit], joint: JointFit,
    share: Share, record: str,
) -> FitReport:
    model = configuration.models[name]
    inputs = tuple(
        InputBaseline(
            tag=tag, unit=configuration.tags[tag].unit, centre=item.centre, scale=item.scale,
            noise=item.noise, interval_ns=item.interval_ns, tau=item.tau, n_eff=item.n_eff,
            trained=item.trained, edges=item.edges, longest_gap=item.longest_gap,
            r2=float(joint.relations[position].r2), provisional=item.provisional, detectors=item.detectors,
        )
        for position, (tag, item) in enumerate(zip(model.inputs, fits, strict=True))
    )
    short = [(tag, item) for tag, item in zip(model.inputs, fits, strict=True) if item.provisional]
    text = _provisional_text(short, table.interval_ns)
    baseline = Baseline(
        model=name, model_version=model.version, interval_ns=table.interval_ns,
        modes=(ModeBaseline("", None, inputs, joint.to_json()),),
        provisional=bool(short), provisional_text=text, mask_ns=0,
        facts={
            "rows": len(table.time_ns), "from_ns": int(table.time_ns[0]),
            "to_ns": int(table.time_ns[-1]), "record": record, "false_alarms": configuration.gateway.false_alarms,
        },
    )
    per_chart = configuration.gateway.false_alarms_per_ns * _MONTH_NS
    charts = sum(s.charts for s in shares(configuration, table.interval_ns).values())
    rows = tuple(
        _row(tag, baseline.modes[0].inputs[i], fits[i], per_chart * len(fits[i].detectors) / charts)
        for i, tag in enumerate(model.inputs)
    )
    joint_charts = share.charts - sum(len(item.detectors) for item in fits)
    return FitReport(
        baseline, rows, per_chart * joint_charts / charts, per_chart, (*table.notes, *joint.notes)
    )


def _row(tag: str, item: InputBaseline, fit: InputFit, per_month: float) -> FitRow:
    seconds = item.interval_ns / 1e9
    return FitRow(
        tag, item.unit, fit.tau * seconds, fit.n_eff, item.r2, fit.thresholds, per_month,
        fit.provisional, fit.needed * seconds, fit.notes,
    )


def _provisional_text(short: list[tuple[str, InputFit]], interval_ns: int) -> str:
    if not short:
        return ""
    tag, worst = max(short, key=lambda pair: pair[1].needed)
    hours = worst.needed * interval_ns / 3.6e12
    return (
        f"thresholds are provisional: {len(short)} of the inputs were trained on less than "
        f"{ENOUGH_TAU} correlation times; {tag} needs {hours:.3g} h more of normal operation"
    )
