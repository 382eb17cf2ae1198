"""Fit: a model's training record -> its baseline, and the table that shows the promise.

The gateway's one number (false alarms per time) is divided over all charts of all models; each
chart's thresholds are calibrated to its share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from agent.configuration.loops import parts_of
from agent.configuration.schema import Configuration, Tag
from agent.core.baseline import Baseline, InputBaseline, ModeBaseline
from agent.core.spec import INPUT, OUTPUT
from agent.fit import held_back, served, trial
from agent.fit.activity import fit_activity
from agent.fit.all_rows import with_all_rows
from agent.fit.budget import MONTH_NS, PART, Share, divide, loads, per_30_days
from agent.fit.fitted import Fitted, with_outputs
from agent.fit.joint import JointFit, fit_joint
from agent.fit.kinds import Judged, judged
from agent.fit.labels import LossLearnt
from agent.fit.loops import LoopLearnt, Part, fit_loops, learnt
from agent.fit.modes import split
from agent.fit.of_kind import of_kind
from agent.fit.outputs import columns_of
from agent.fit.paces import paces_of
from agent.fit.univariate import DRIFT_SHIFT, InputFit
from agent.fit.unseen import unseen_share
from agent.fit.watched import Watched, watched
from agent.records.beside import beside, on_rows
from agent.records.table import Selection, Table
from agent.status.view import duration
from agent.types import Float64
from agent.workers import each

_LOUD = "its charts are not silent on time held back"
UNSEEN = "the record has no values of it"

Progress = Callable[[str, int, int], None]
Each = Callable[..., Iterator[Any]]


@dataclass(frozen=True, slots=True)
class FitRow:
    """One line of the table: an input, its dynamics, its thresholds, its share of the budget.

    `watched` says what it is watched for, and what not and why; `wider` how many times as wide as
    the record alone asks for its charts are, where time held back asks for more; `role` whether it
    is an input or an output.
    """

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
    watched: Watched
    wider: dict[str, float]
    role: str = INPUT


@dataclass(frozen=True, slots=True)
class FitReport:
    """The baseline, and what a person should see of how it came about.

    `loops` is what was learnt of control loops; `trial` is of the promise on time held back, None
    where the record is too short for one; `losses` what labels said.
    """

    baseline: Baseline
    rows: tuple[FitRow, ...]
    joint_per_month: float
    gateway_per_month: float
    notes: tuple[str, ...] = field(default=())
    loops: tuple[LoopLearnt, ...] = ()
    trial: trial.Trial | None = None
    losses: tuple[LossLearnt, ...] = ()


def fit_model(
    configuration: Configuration, name: str, table: Table, *, progress: Progress | None = None,
    record: str = "", reading: Mapping[str, object] | None = None, workers: int = 1,
    apart: Table | None = None, elsewhere: Each | None = None,
) -> FitReport:
    """Learn one model's baseline from its training record.

    Args:
        configuration: says the inputs and the gateway's budget.
        name: of the model.
        table: the record; it must have a column for every input of the model.
        record: where the record came from; `drill` takes it from there again.
        reading: what a person said about how it is written.
        workers: processes at most; the result is the same with any number.
        apart: outputs and labels, as far as the record has them (`records.beside`); None: they are
            in the table.
        progress: told (what, done, of) as the work goes on.
        elsewhere: does the work of each input in place of this machine's processes.

    Raises:
        BaselineError: an input without a usable sample.
        FieldwardenError: a column is missing.
    """
    model = configuration.models[name]
    apart = apart or table
    wanted = [*model.inputs, *([model.mode.tag] if model.mode else [])]
    had = [tag for tag in model.outputs if tag in apart.names]
    part = on_rows(table.select(wanted), apart, had) if had else table.select(wanted)
    outputs = columns_of(
        configuration.tags, had, part.values[:, len(wanted) :], table.interval_ns
    )
    values = np.array(part.values[:, : len(model.inputs)], order="C")  # its own: written below
    kinds = _judged(configuration.tags, model.inputs, values, table)
    for place, tag in enumerate(model.inputs):
        values[:, place] = kinds[tag].values
    modes: list[tuple[str, float | None, Float64]] = [("", None, values)]
    row_of = [np.arange(len(values))]
    mask = 0
    if model.mode is not None:
        found, mask = split(
            part.column(model.mode.tag), values, model.mode.names, name, table.texts
        )
        modes = [(item.name, item.code, item.series(values)) for item in found]
        row_of = [item.rows for item in found]
    tell = progress or (lambda what, done, of: None)
    rate = configuration.gateway.false_alarms_per_ns
    share = divide(rate, loads(configuration, table.interval_ns))[name]
    steps = _Steps(tell, len(modes) * (len(model.inputs) + 1))
    run = elsewhere or partial(each, workers=workers)
    # Of one mode among several, its stretches alone tell the extremes.
    selection = table.selection if model.mode is None else None
    fitted = [
        _fit_mode(
            configuration, name, mode, code, rows, table.interval_ns, share, steps, kinds, run,
            selection,
        )
        for mode, code, rows in modes
    ]
    fitted = with_outputs(fitted, modes, row_of, outputs, table.interval_ns, share)
    tell("trying it on time held back", steps.of, steps.of)
    facts = {"record": record, "reading": dict(reading or {})}
    report = _report(configuration, name, table, fitted, mask, share, facts)
    paces = paces_of([(table, [model.mode.tag] if model.mode else []), (apart, beside(model))])
    baseline = replace(report.baseline, paces=paces)
    report = replace(report, baseline=baseline)
    return replace(report, trial=trial.tried(configuration, report.baseline, part, fitted, row_of))


def _judged(
    tags: Mapping[str, Tag], names: Sequence[str], values: Float64, table: Table
) -> dict[str, Judged]:
    """Each input's column of float64[n, d] as its kind is judged."""
    return {
        name: judged(
            values[:, place], tags[name].kind, interval_ns=table.interval_ns, unit=tags[name].unit,
            period=tags[name].period, rolls_over_at=tags[name].rolls_over_at,
            breaks=table.selection.starts if table.selection else (),
        )
        for place, name in enumerate(names)
    }


@dataclass(slots=True)
class _Steps:
    """Counts what has been done, for the progress bar."""

    tell: Progress
    of: int
    done: int = 0

    def step(self, what: str) -> None:
        self.tell(what, self.done, self.of)
        self.done += 1


def _fit_inputs(
    configuration: Configuration, name: str, mode: str, values: Float64, interval_ns: int,
    share: Share, steps: _Steps, kinds: Mapping[str, Judged], run: Each,
    selection: Selection | None,
) -> tuple[list[InputFit], list[list[tuple[InputFit, held_back.Factors]]]]:  # fmt: skip
    """Each input's charts, and those of each part's lead with what they need to be silent."""
    model = configuration.models[name]
    fits: list[InputFit] = []
    tried: list[list[tuple[InputFit, held_back.Factors]]] = []
    called = [f"{tag} in mode {mode}" if mode else tag for tag in model.inputs]
    tasks = held_back.Tasks(values, share.inputs, called)
    found = run(held_back.learn, (interval_ns,), tasks, doing="fitting")
    for (column, _, _), tag, (item, parts) in zip(tasks, model.inputs, found, strict=True):
        steps.step(f"{tag} {mode}".strip())
        as_kind = partial(
            of_kind, kind=configuration.tags[tag].kind, judged=kinds[tag], column=column, name=tag
        )
        fits.append(with_all_rows(
            as_kind(item), column, selection, tag=tag, kind=configuration.tags[tag].kind
        ))
        tried.append([(as_kind(lead), factors) for lead, factors in parts])
    off = held_back.not_silent(tried, served.CHARTS)
    fits = [held_back.adjusted(item, off) for item in fits]
    return fits, tried


def _fit_mode(
    configuration: Configuration, name: str, mode: str, code: float | None, values: Float64,
    interval_ns: int, share: Share, steps: _Steps, kinds: Mapping[str, Judged], run: Each,
    selection: Selection | None,
) -> Fitted:  # fmt: skip
    model = configuration.models[name]
    fits, tried = _fit_inputs(
        configuration, name, mode, values, interval_ns, share, steps, kinds, run, selection
    )
    steps.step("relations between inputs")
    relate = partial(fit_joint, names=model.inputs, interval_ns=interval_ns, arl=share.joint)
    leads = [[item for item, _ in part] for part in zip(*tried, strict=False)]
    related = held_back.of_joint(values, interval_ns, leads, relate)
    wider = held_back.most([factors for _, factors in related])
    joint = held_back.adjusted_joint(relate(held_back.standardised(values, fits)), wider)
    named = partial(_mode_baseline, mode, code, configuration.tags, kinds)
    learns = partial(_with_learnt, configuration)
    whole = learns(named(fits, joint), values)
    if not related:
        return Fitted(whole, fits, joint, None, len(values), _learnt(configuration, whole, values))
    last = [
        held_back.adjusted(part[-1][0], held_back.most([factors for _, factors in part[:-1]]))
        for part in tried
    ]
    before = held_back.most([factors for _, factors in related[:-1]])
    lead = held_back.parts(len(values))[-1].lead
    held = learns(named(last, held_back.adjusted_joint(related[-1][0], before)), values[lead])
    return Fitted(
        whole, fits, joint, held, held_back.parts(len(values))[-1].follow.start,
        _learnt(configuration, whole, values),
    )


def _with_learnt(
    configuration: Configuration, mode: ModeBaseline, values: Float64
) -> ModeBaseline:
    """A mode with what its control loops do, and how its inputs' noise goes together.

    From float64[n, d] in the tags' units.
    """
    centre = np.array([item.centre for item in mode.inputs])
    scale = np.array([item.scale for item in mode.inputs])
    activity = fit_activity((values - centre) / scale)
    parts = {tag: Part(*part) for tag, part in parts_of(configuration.loops).items()}
    loops = fit_loops(values, [item.tag for item in mode.inputs], parts, centre, scale)
    found = {"activity": activity, "loops": loops}
    return replace(mode, joint={**mode.joint, **{key: one for key, one in found.items() if one}})


def _learnt(
    configuration: Configuration, mode: ModeBaseline, values: Float64
) -> tuple[LoopLearnt, ...]:
    """What `_with_learnt` learnt of each loop, in words; of the mode, where there are several."""
    parts = {tag: Part(*part) for tag, part in parts_of(configuration.loops).items()}
    found = learnt(
        values, [item.tag for item in mode.inputs], parts,
        np.array([item.scale for item in mode.inputs]), mode.joint.get("loops", {}),
    )
    return tuple(
        replace(one, loop=f"{one.loop} [{mode.name}]") if mode.name else one for one in found
    )


def _mode_baseline(
    mode: str, code: float | None, tags: Mapping[str, Tag], kinds: Mapping[str, Judged],
    fits: Sequence[InputFit], joint: JointFit,
) -> ModeBaseline:  # fmt: skip
    inputs = tuple(
        InputBaseline(
            tag=name, unit=tags[name].unit, centre=item.centre, scale=item.scale,
            noise=item.noise, interval_ns=item.interval_ns, tau=item.tau, n_eff=item.n_eff,
            trained=item.trained, edges=item.edges, longest_gap=item.longest_gap,
            r2=float(relation.r2), provisional=item.provisional,
            detectors=item.detectors, resolution=item.resolution,
            kind=tags[name].kind, turn=judged.turn, cut=judged.cut, fastest=judged.fastest,
        )
        for (name, judged), item, relation in zip(
            kinds.items(), fits, joint.relations, strict=True
        )
    )
    return ModeBaseline(mode, code, inputs, joint.to_json())


def _report(
    configuration: Configuration, name: str, table: Table, fitted: list[Fitted], mask: int,
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
            **_extent(table), **facts,
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
    rows += _output_rows(configuration, name, fitted, share)
    joint = share.joint_charts * MONTH_NS / (share.joint * model.scan)
    notes = [*table.notes, *(note for one in fitted for note in one.joint.notes)]
    length_ns = len(table.time_ns) * table.interval_ns
    whole = table.selection
    if unseen := trial.covers(whole.last_ns - whole.first_ns if whole else length_ns):
        notes.append(unseen)
    if unseen_share(length_ns) > DRIFT_SHIFT:
        notes.append(
            f"the record covers {length_ns / 6e10:.3g} min and can not show movement over hours: "
            "ranges and level charts are wider for it, the drift charts are off"
        )
    if mask:
        notes.append(f"changes of mode are masked for {mask * table.interval_ns / 1e9:.3g} s")
    loops = tuple(one for mode in fitted for one in mode.loops)
    return FitReport(baseline, rows, joint, per_month, tuple(notes), loops)


def _extent(table: Table) -> dict[str, object]:
    """The rows and the span of a record, and what of it was used where that is a part."""
    whole = table.selection
    if whole is None:
        return {"rows": len(table.time_ns), "from_ns": int(table.time_ns[0]),
                "to_ns": int(table.time_ns[-1])}  # fmt: skip
    used = {"rows": whole.used, "stretches_ns": [list(one) for one in whole.stretches_ns],
            "text": whole.text}  # fmt: skip
    return {"rows": whole.rows, "from_ns": whole.first_ns, "to_ns": whole.last_ns, "used": used}


def _row(tag: str, item: InputBaseline, fit: InputFit, per_month: float) -> FitRow:
    seconds = item.interval_ns / 1e9
    return FitRow(
        tag, item.unit, fit.tau * seconds, fit.n_eff, item.r2, fit.thresholds, per_month,
        fit.provisional, fit.needed * seconds, fit.notes,
        watched(item, {name: _LOUD for name, wide in fit.wider.items() if np.isinf(wide)}),
        {name: wide for name, wide in fit.wider.items() if np.isfinite(wide)},
    )


def _output_rows(
    configuration: Configuration, name: str, fitted: Sequence[Fitted], share: Share
) -> tuple[FitRow, ...]:
    """Those of outputs; of one that the record has no values of, that it is not watched."""
    made, known = [], set()
    for one in fitted:
        for own in one.outputs:
            item, charts = own.output.item, len(own.fit.detectors) + len(own.output.charts)
            tag = f"{item.tag} [{one.mode.name}]" if one.mode.name else item.tag
            row = _row(tag, item, own.fit, charts * MONTH_NS / share.alone_ns)
            made.append(replace(row, watched=own.watched, role=OUTPUT))
            known.add(item.tag)
    for tag in configuration.models[name].outputs:
        if tag not in known:
            off = Watched((), (("anything but its arrival", UNSEEN),))
            unit = configuration.tags[tag].unit
            made.append(
                FitRow(tag, unit, 0.0, 0.0, 0.0, {}, 0.0, False, 0.0, (), off, {}, OUTPUT)
            )
    return tuple(made)


def _provisional_text(short: list[tuple[str, InputFit]], interval_ns: int) -> str:
    if not short:
        return ""
    tag, worst = max(short, key=lambda pair: pair[1].needed)
    return (
        f"thresholds are provisional: {len(short)} of the inputs "
        f"{'moves' if len(short) == 1 else 'move'} so slowly that the record shows too little of "
        f"it; slowest is {tag}, which forgets where it was within "
        f"{duration(worst.tau * interval_ns / 1e9)}, and the record is "
        f"{worst.n_eff:.0f} independent values of it"
    )
