"""Fit: a model's training record -> its baseline, and the table that shows the promise.

The gateway's one number (false alarms per time) is divided over all charts of all models; each
chart's thresholds are calibrated to its share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.configuration.schema import Configuration
from agent.core.baseline import Baseline, InputBaseline, ModeBaseline
from agent.fit.budget import MONTH_NS, PART, Share, divide, loads, per_30_days
from agent.fit.joint import JointFit, fit_joint
from agent.fit.modes import split
from agent.fit.univariate import DRIFT_SHIFT, ENOUGH_TAU, InputFit, fit_input
from agent.fit.unseen import unseen_share
from agent.records.table import Table
from agent.status.view import duration
from agent.types import Float64

Progress = Callable[[str, int, int], None]


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
    record: str = "", reading: Mapping[str, object] | None = None,
) -> FitReport:
    """Learn one model's baseline from its training record.

    Args:
        configuration: says the inputs and the gateway's budget.
        name: of the model.
        table: the record; it must have a column for every input of the model.
        record: where the record came from; `drill` takes it from there again.
        reading: what a person said about how it is written.
        progress: told (what, done, of) as the work goes on.

    Raises:
        BaselineError: an input without a usable sample.
        FieldwardenError: a column is missing.
    """
    model = configuration.models[name]
    wanted = [*model.inputs, *([model.mode.tag] if model.mode else [])]
    part = table.select(wanted)
    values = np.ascontiguousarray(part.values[:, : len(model.inputs)])
    modes: list[tuple[str, float | None, Float64]] = [("", None, values)]
    mask = 0
    if model.mode is not None:
        found, mask = split(
            part.column(model.mode.tag), values, model.mode.names, name, table.texts
        )
        modes = [(item.name, item.code, item.series(values)) for item in found]
    tell = progress or (lambda what, done, of: None)
    rate = configuration.gateway.false_alarms_per_ns
    share = divide(rate, loads(configuration, table.interval_ns))[name]
    steps = _Steps(tell, len(modes) * (len(model.inputs) + 1))
    fitted = [
        _fit_mode(configuration, name, mode, code, rows, table.interval_ns, share, steps)
        for mode, code, rows in modes
    ]
    tell("done", steps.of, steps.of)
    facts = {"record": record, "reading": dict(reading or {})}
    return _report(configuration, name, table, fitted, mask, share, facts)


@dataclass(slots=True)
class _Steps:
    """Counts what has been done, for the progress bar."""

    tell: Progress
    of: int
    done: int = 0

    def step(self, what: str) -> None:
        self.tell(what, self.done, self.of)
        self.done += 1


@dataclass(frozen=True, slots=True)
class _Fitted:
    """One mode's fits: of every input, and of all of them jointly."""

    mode: ModeBaseline
    inputs: list[InputFit]
    joint: JointFit


def _fit_mode(
    configuration: Configuration, name: str, mode: str, code: float | None, values: Float64,
    interval_ns: int, share: Share, steps: _Steps,
) -> _Fitted:  # fmt: skip
    model = configuration.models[name]
    fits: list[InputFit] = []
    for position, tag in enumerate(model.inputs):
        steps.step(f"{tag} {mode}".strip())
        column = np.ascontiguousarray(values[:, position])
        fits.append(
            fit_input(
                column, interval_ns=interval_ns, arl=share.inputs[position],
                name=f"{tag} in mode {mode}" if mode else tag,
            )
        )
    steps.step("relations between inputs")
    joint = fit_joint(
        _standardised(values, fits), model.inputs, interval_ns=interval_ns, arl=share.joint
    )
    inputs = tuple(
        InputBaseline(
            tag=tag, unit=configuration.tags[tag].unit, centre=item.centre, scale=item.scale,
            noise=item.noise, interval_ns=item.interval_ns, tau=item.tau, n_eff=item.n_eff,
            trained=item.trained, edges=item.edges, longest_gap=item.longest_gap,
            r2=float(joint.relations[position].r2), provisional=item.provisional,
            detectors=item.detectors, resolution=item.resolution,
        )
        for position, (tag, item) in enumerate(zip(model.inputs, fits, strict=True))
    )
    return _Fitted(ModeBaseline(mode, code, inputs, joint.to_json()), fits, joint)


def _standardised(values: Float64, fits: list[InputFit]) -> Float64:
    centre = np.array([item.centre for item in fits])
    scale = np.array([item.scale for item in fits])
    return np.ascontiguousarray((values - centre) / scale)


def _report(
    configuration: Configuration, name: str, table: Table, fitted: list[_Fitted], mask: int,
    share: Share, facts: Mapping[str, object],
) -> FitReport:  # fmt: skip
    model = configuration.models[name]
    short = [
        (tag, item)
        for one in fitted
        for tag, item in zip(model.inputs, one.inputs, strict=True)
        if item.provisional
    ]
    baseline = Baseline(
        model=name, model_version=model.version, interval_ns=table.interval_ns,
        modes=tuple(one.mode for one in fitted), provisional=bool(short),
        provisional_text=_provisional_text(short, table.interval_ns),
        mask_ns=mask * table.interval_ns,
        facts={
            "rows": len(table.time_ns), "from_ns": int(table.time_ns[0]),
            "to_ns": int(table.time_ns[-1]), **facts,
            "false_alarms": configuration.gateway.false_alarms,
            PART: per_30_days(share.rate_per_ns),
        },
    )
    per_month = per_30_days(configuration.gateway.false_alarms_per_ns)
    samples = MONTH_NS / table.interval_ns  # of one input a month
    rows = tuple(
        _row(f"{item.tag} [{one.mode.name}]" if one.mode.name else item.tag, item, fit,
             samples / arl * len(fit.detectors))
        for one in fitted
        for item, fit, arl in zip(one.mode.inputs, one.inputs, share.inputs, strict=True)
    )
    joint = share.joint_charts * MONTH_NS / (share.joint * model.scan)
    notes = [*table.notes, *(note for one in fitted for note in one.joint.notes)]
    length_ns = len(table.time_ns) * table.interval_ns
    if unseen_share(length_ns) > DRIFT_SHIFT:
        notes.append(
            f"the record covers {length_ns / 6e10:.3g} min and can not show movement over hours: "
            "ranges and level charts are wider for it, the drift charts are off"
        )
    if mask:
        notes.append(f"changes of mode are masked for {mask * table.interval_ns / 1e9:.3g} s")
    return FitReport(baseline, rows, joint, per_month, tuple(notes))


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
    more = duration(worst.needed * interval_ns / 1e9)
    return (
        f"thresholds are provisional: {len(short)} of the inputs "
        f"{'was' if len(short) == 1 else 'were'} trained on less than "
        f"{ENOUGH_TAU} correlation times; {tag} needs {more} more of normal operation"
    )
