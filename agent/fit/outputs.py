"""Fit a model's outputs: what there is of an input, the level given the inputs, and the class mix.

An output is fitted at its own interval, which may be longer than the inputs'. What the inputs say
of it (regression-adjusted, Hawkins 1991) is charted where they explain enough of it on folds held
out; the residuals that its chart is calibrated on are those of folds held out, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agent.configuration.schema import Tag
from agent.core.baseline import InputBaseline, ModeBaseline, OutputBaseline
from agent.core.kernels import OUTPUT_CHARTS, level, mix
from agent.core.kinds import transforms
from agent.errors import BaselineError
from agent.fit import held_back
from agent.fit.joint_moments import FLOOR
from agent.fit.joint_relations import of_last
from agent.fit.kinds import Judged, judged
from agent.fit.mix import NO_CLASSES, fit_mix
from agent.fit.of_kind import of_kind
from agent.fit.univariate import InputFit
from agent.fit.watched import OUTPUT_WORDS, RELATIONS, Watched, is_off, watched
from agent.types import Float64, Int64

PREDICTED = 0.5
"""Cross-validated share of an output's variance that its inputs must explain to be charted."""

_FEWEST = 100
"""Rows with the output and all inputs from which a relation is looked for."""

_TAKES_NS = 10_000_000_000
"""So long computing a prediction and sending it may take."""

_LOUD = "its charts are not silent on time held back"
_GIVEN = next(one for one in OUTPUT_CHARTS if one.feed == "residual")


@dataclass(frozen=True, slots=True)
class OutputFit:
    """One output of one mode: what its baseline is, its fit, and what it is watched for."""

    output: OutputBaseline
    fit: InputFit
    watched: Watched


@dataclass(frozen=True, slots=True)
class Column:
    """An output's column of a record: its tag, its values as judged float64[n], what kind does."""

    tag: str
    settings: Tag
    values: Float64
    judged: Judged


def fit_outputs(
    mode: ModeBaseline, values: Float64, columns: Sequence[Column], *, interval_ns: int,
    alone_ns: float,
) -> list[OutputFit]:
    """The outputs of which a mode of the record has a value, in the order of the columns.

    Args:
        mode: of the inputs.
        values: float64[n, d] of the inputs, as judged.
        columns: of the outputs, on the same rows.
        interval_ns: between rows.
        alone_ns: average run length of each chart.
    """
    centre = np.array([item.centre for item in mode.inputs])
    scale = np.array([item.scale for item in mode.inputs])
    z = (values - centre) / scale
    found = []
    for column in columns:
        try:
            found.append(_fit(column, z, interval_ns, alone_ns))
        except BaselineError:
            continue  # no value of it in this mode
    return found


def thinned(column: Float64) -> tuple[Int64, int, int]:
    """(places of its values in a series of its own, length of that, rows from value to value).

    Of a column float64[n] that has a value every so many rows.
    """
    rows = np.flatnonzero(np.isfinite(column))
    every = max(int(np.median(np.diff(rows))), 1) if len(rows) > 1 else 1
    places = np.round((rows - rows[0]) / every).astype(np.int64) if len(rows) else rows
    return places, int(places[-1]) + 1 if len(rows) else 0, every


def _fit(column: Column, z: Float64, interval_ns: int, alone_ns: float) -> OutputFit:
    rows = np.flatnonzero(np.isfinite(column.values))
    places, length, every = thinned(column.values)
    series = np.full(length, np.nan)
    series[places] = column.values[rows]
    own_ns = interval_ns * every
    arl = alone_ns / own_ns
    plain, _ = held_back.learn(own_ns, (series, arl, column.tag))
    kind = column.settings.kind
    fit = of_kind(plain, kind=kind, judged=column.judged, column=series, name=column.tag)
    charts: dict[str, dict[str, Any]] = {}
    why: dict[str, str] = {}
    chart, why[mix.NAME] = fit_mix(
        series, centre=fit.centre, scale=fit.scale, interval_ns=own_ns, arl=arl, name=column.tag
    )
    own = (column.values - fit.centre) / fit.scale
    relation: dict[str, Any] = {}
    if transforms(kind) or fit.constant or why[mix.NAME] != NO_CLASSES:
        why[_GIVEN.name] = "it has classes, one value, or is judged by its rate or on a circle"
    else:
        left = np.full(length, np.nan)
        relation, why[_GIVEN.name] = _related(own, z, rows, places, left, interval_ns)
        if relation:
            held, _ = held_back.learn(own_ns, (left, arl, column.tag))
            # no relation is trusted closer than that of inputs is
            relation |= {"middle": held.centre, "spread": max(held.scale, FLOOR**0.5)}
            charts[_GIVEN.name] = held.detectors[level.NAME]
            if is_off(_GIVEN, charts[_GIVEN.name]):
                relation, why[_GIVEN.name] = {}, _LOUD
    charts |= {mix.NAME: chart} if chart else {}
    charts = {name: one for name, one in charts.items() if name != _GIVEN.name or relation}
    output = OutputBaseline(_item(column, fit, relation), charts, relation)
    return OutputFit(output, fit, _watched(output, fit, why))


def _related(
    own: Float64, z: Float64, rows: Int64, places: Int64, left: Float64, interval_ns: int
) -> tuple[dict[str, Any], str]:
    """(relation, why there is none); what it leaves is put into `left` at `places`.

    In a record an output stands beside its inputs. In service it comes later, and where rows are
    close together it may be set beside the inputs of the row after: then the chart is for the worse
    of both.
    """
    known = np.isfinite(z[rows]).all(axis=1)
    x = np.column_stack([z[rows[known]], own[rows[known]]])
    if len(x) < _FEWEST:
        return {}, "the record has too few rows of it with all inputs"
    centre, scale = x.mean(axis=0), x.std(axis=0)
    moves = scale > 1e-9
    if not moves[-1] or not moves[:-1].any():
        return {}, "its inputs do not move"
    after = np.column_stack([z[np.minimum(rows[known] + 1, len(z) - 1)], own[rows[known]]])
    found, apart, late = of_last(*(
        (each[:, moves] - centre[moves]) / scale[moves] for each in (x, after)
    ))
    if found.r2 < PREDICTED:
        return {}, "its inputs do not predict it by a linear relation"
    if interval_ns < _TAKES_NS and np.nanvar(late) > apart.var():
        apart = late
        if np.nanvar(late) > 1.0 - PREDICTED:
            return {}, "its inputs are others by the time that it comes"
    slopes = np.zeros(z.shape[1])
    slopes[moves[:-1]] = found.coefficients[:-1] * scale[-1] / scale[moves][:-1]
    left[places[known]] = apart * scale[-1]
    intercept = centre[-1] + found.intercept * scale[-1] - float(slopes @ centre[:-1])
    relation = {"r2": float(found.r2), "intercept": float(intercept), "slopes": slopes.tolist()}
    return relation, ""


def _item(column: Column, fit: InputFit, relation: Mapping[str, Any]) -> InputBaseline:
    kind = column.judged
    return InputBaseline(
        tag=column.tag, unit=column.settings.unit, centre=fit.centre, scale=fit.scale,
        noise=fit.noise, interval_ns=fit.interval_ns, tau=fit.tau, n_eff=fit.n_eff,
        trained=fit.trained, edges=fit.edges, longest_gap=fit.longest_gap,
        r2=relation.get("r2", 0.0), provisional=fit.provisional,
        detectors=fit.detectors, resolution=fit.resolution, kind=column.settings.kind,
        turn=kind.turn, cut=kind.cut, fastest=kind.fastest,
    )


def _watched(output: OutputBaseline, fit: InputFit, why: Mapping[str, str]) -> Watched:
    loud = {name: _LOUD for name, wide in fit.wider.items() if np.isinf(wide)}
    found = watched(replace(output.item, r2=0.0), loud | {RELATIONS: ""})
    on = [*found.on, *(word for name, word in OUTPUT_WORDS.items() if name in output.charts)]
    off = [pair for pair in found.off if pair[0] != RELATIONS]
    off += [
        (word, why[name]) for name, word in OUTPUT_WORDS.items()
        if name not in output.charts and why[name] != NO_CLASSES
    ]
    return Watched(tuple(on), tuple(off))


def columns_of(
    tags: Mapping[str, Tag], names: Sequence[str], values: Float64, interval_ns: int
) -> list[Column]:
    """Outputs float64[n, k] as their kinds are judged."""
    found = []
    for place, name in enumerate(names):
        tag = tags[name]
        own = judged(
            np.ascontiguousarray(values[:, place]), tag.kind, interval_ns=interval_ns,
            unit=tag.unit, period=tag.period, rolls_over_at=tag.rolls_over_at,
        )
        found.append(Column(name, tag, own.values, own))
    return found


def in_mode(columns: Sequence[Column], rows: Int64) -> list[Column]:
    """The same on the rows of a mode, int64[m], -1 where stretches meet."""
    return [
        replace(one, values=np.where(rows < 0, np.nan, one.values[np.maximum(rows, 0)]))
        for one in columns
    ]


def in_all(modes: Sequence[Sequence[OutputFit]]) -> list[list[OutputFit]]:
    """Of each mode the outputs that all of them know: no other is judged."""
    known = set.intersection(*({one.output.item.tag for one in mode} for mode in modes))
    return [[one for one in mode if one.output.item.tag in known] for mode in modes]
