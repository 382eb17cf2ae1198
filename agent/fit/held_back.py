"""Held-back time: how wide each chart must be to be silent on what followed what it was fitted on.

Forward chaining: a chart is fitted on a leading part of the record, as it will be on all of it, and
runs over the part that follows, by the very kernel. Where it raises an alarm there, the record
moves in a way that the chart's model of it does not know. The least factor on its limits at which
it is silent, the largest of all parts, is what its limits are widened by; beyond `MOST` the chart
is switched off, and that is said. References: Tashman 2000, rolling-origin evaluation; the limits
that are widened are those of Siffer et al. 2017, Page 1954 and Siegmund 1985 (see `tails`,
`bootstrap`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from agent.core.joint_group import scores_of
from agent.core.kernels import DETECTORS, JOINT_CHARTS
from agent.core.kernels.base import NEVER, ON_DELAY, TRANSITION, Detector
from agent.errors import BaselineError
from agent.fit.joint import JointFit
from agent.fit.univariate import InputFit, fit_input
from agent.types import Float64

LEADS = (0.5, 0.75)
"""Shares of the record that charts are fitted on; each is judged by what follows up to the next."""

GAP = 0.01
"""Share of the record between the two, so that a slow swing is not judged by its own other half."""

FEWEST = 50
"""Rows that a part must have for a chart to be judged by it."""

MARGIN = 1.25
"""Times the least factor: what comes next may move a little more than what was held back."""

MOST = 4.0
"""A chart that has to be wider than this says nothing that is worth its place."""

MOST_LOUD = 1
"""Inputs of a model on which a chart may be loud in the last part, as wide as those before ask for:
promised is far less than one."""

_STEPS = np.geomspace(1.0, MOST, 13)[1:]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that charts are fitted on, and those that follow, by which they are judged."""

    lead: slice
    follow: slice


def parts(rows: int) -> list[Part]:
    """The parts of a record of so many rows, earliest first; none where it is too short."""
    found = []
    for share, until in zip(LEADS, (*LEADS[1:], 1.0), strict=True):
        lead, begin = int(share * rows), ceil((share + GAP) * rows)
        end = int(until * rows)
        if end - begin >= FEWEST and lead >= FEWEST:
            found.append(Part(slice(0, lead), slice(begin, end)))
    return found


Factors = Mapping[str, float]
"""By chart, the least factor on its limits at which it is silent on what follows."""


def most(found: Sequence[Factors]) -> dict[str, float]:
    """By chart, the largest factor of several parts."""
    names = {name for factors in found for name in factors}
    return {name: max(factors.get(name, 1.0) for factors in found) for name in sorted(names)}


# --- charts of one input --------------------------------------------------------------------------


Task = tuple[Float64, float, str]
"""Of an input: its column, the average run length of each of its charts, its name for errors."""

Learnt = tuple[InputFit, list[tuple[InputFit, Factors]]]


def learn(interval_ns: int, task: Task) -> Learnt:
    """An input's charts, as wide as held-back time asks for, and those of each part's lead."""
    column, arl, name = task
    fit = partial(fit_input, interval_ns=interval_ns, arl=arl, name=name)
    tried = of_input(column, interval_ns, fit)
    return adjusted(fit(column), most([factors for _, factors in tried])), tried


def of_input(
    column: Float64, interval_ns: int, fit: Callable[[Float64], InputFit]
) -> list[tuple[InputFit, Factors]]:
    """Of each part, the charts of its lead and their factors; none where a lead has no value.

    Args:
        column: float64[n] in the tag's unit at a fixed interval, NaN where missing.
        interval_ns: the record's sampling interval.
        fit: makes the charts of a leading part.
    """
    found: list[tuple[InputFit, Factors]] = []
    for part in parts(len(column)):
        try:
            item = fit(np.ascontiguousarray(column[part.lead]))
        except BaselineError:
            return []
        follow = column[part.follow]
        usable = np.isfinite(follow)
        z = np.ascontiguousarray((follow[usable] - item.centre) / item.scale)
        times = np.flatnonzero(usable).astype(np.int64) * interval_ns + interval_ns
        found.append((item, {
            detector.name: least(detector, item.detectors[detector.name], z, times)
            for detector in DETECTORS
        }))
    return found


def least(
    detector: Detector, parameters: Mapping[str, Any], z: Float64, times: np.ndarray[Any, Any]
) -> float:
    """The least factor at which a chart raises nothing; above `MOST` where none does."""
    if not (detector.limits or detector.slopes) or not len(z):
        return 1.0
    if not _alarms(detector, [parameters], z, times)[0]:
        return 1.0
    wider = [widened(detector, parameters, float(factor)) for factor in _STEPS]
    loud = np.flatnonzero(_alarms(detector, wider, z, times))
    place = int(loud[-1]) + 1 if len(loud) else 0
    return float(_STEPS[place]) if place < len(_STEPS) else 2.0 * MOST


def _alarms(
    detector: Detector, charts: Sequence[Mapping[str, Any]], z: Float64,
    times: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:  # fmt: skip
    """How many flags each of several charts raises over the same samples, int64[charts]."""
    count = len(charts)
    params = np.zeros(count, detector.params)
    for row, chart in enumerate(charts):
        for name in detector.params.names or ():
            params[row][name] = chart[name]
    out = np.zeros(count * (len(z) + 2), TRANSITION)
    every = np.tile(times, count)
    written = detector.fold(
        params, np.zeros(count, detector.state), np.arange(count + 1, dtype=np.int64) * len(z),
        int(times[-1]) + 1, every, every, np.tile(z, count), np.zeros(count * len(z), np.uint16),
        out,
    )
    told = out[:written]
    return np.bincount(told["row"][told["up"] == 1], minlength=count)


def widened(detector: Detector, parameters: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """A chart's parameters with its limits so many times as wide."""
    wide = dict(parameters)
    for name in detector.limits:
        value = wide[name]
        if isinstance(value, int):
            wide[name] = min(ceil(value * factor), 1 << 62)
        elif value < NEVER:
            wide[name] = value * factor
    for name in detector.slopes:
        value = wide[name]
        one_each = isinstance(value, list)
        wide[name] = [one / factor for one in value] if one_each else value / factor
    return wide


def adjusted(item: InputFit, factors: Mapping[str, float]) -> InputFit:
    """An input's charts as wide as held-back time asks for; `wider` tells how much."""
    charts, texts = dict(item.detectors), dict(item.thresholds)
    wider = dict(item.wider)
    for detector in DETECTORS:
        factor = factors.get(detector.name, 1.0)
        if factor <= 1.0 or charts[detector.name] == dict(detector.disabled):
            continue
        if factor > MOST:
            charts[detector.name] = dict(detector.disabled)
            texts[detector.name], wider[detector.name] = "off", np.inf
        else:
            wide = wider[detector.name] = MARGIN * factor
            charts[detector.name] = widened(detector, charts[detector.name], wide)
            texts[detector.name] = f"{texts.get(detector.name, '')} x {wide:.2g}".lstrip()
    return replace(item, detectors=charts, thresholds=texts, wider=wider)


def not_silent(
    tried: Sequence[Sequence[tuple[InputFit, Factors]]], charts: Sequence[str]
) -> dict[str, float]:
    """Factors that switch off, on all inputs, those of `charts` whose promise the last part breaks.

    What has the chance of a row of accidents can not be held against one input's own two parts:
    accidents come together, and when, no input's past tells. So all inputs are asked together. One
    that was loud though as wide as the parts before asked for may hold a fault; `MOST_LOUD` do not.

    Args:
        tried: of each input, the fits of its parts and their factors, the earliest first.
        charts: names of detectors.
    """
    loud = Counter(
        chart
        for parts_of_input in tried if len(parts_of_input) > 1
        for chart in charts
        if _was_loud(chart, parts_of_input)
    )
    return {chart: np.inf for chart in charts if loud[chart] > MOST_LOUD}


def _was_loud(chart: str, tried: Sequence[tuple[InputFit, Factors]]) -> bool:
    before = most([factors for _, factors in tried[:-1]]).get(chart, 1.0)
    wide = MARGIN * before if before > 1.0 else 1.0
    return before <= MOST and tried[-1][1].get(chart, 1.0) > wide


# --- charts of all inputs together ----------------------------------------------------------------


def of_joint(
    values: Float64, interval_ns: int, leads: Sequence[Sequence[InputFit]],
    fit: Callable[[Float64], JointFit],
) -> list[tuple[JointFit, Factors]]:
    """Of each part, the joint charts of its lead and their factors.

    An alarm needs a score above 1 for as many scans as its on-delay.

    Args:
        values: float64[n, d], one row a scan, in the tags' units.
        interval_ns: between rows.
        leads: of each part, the fits of its inputs; shorter where an input had no value early.
        fit: makes the charts of a leading part, float64[m, d] standardised.
    """
    found: list[tuple[JointFit, Factors]] = []
    for part, items in zip(parts(len(values)), leads, strict=False):
        joint = fit(standardised(values[part.lead], items))
        low, high = (np.array([item.trained[end] for item in items]) for end in (0, 1))
        follow = standardised(np.clip(values[part.follow], low, high), items)
        factors = {chart.name: 1.0 for chart in JOINT_CHARTS}
        for scores in scores_of(joint.to_json(), interval_ns, follow):
            for place, chart in enumerate(JOINT_CHARTS):
                agreed = chart.traits.on_delay_agreed
                lasting = _lasting(scores[:, place], ON_DELAY if agreed is None else agreed)
                factors[chart.name] = max(factors[chart.name], lasting)
        found.append((joint, factors))
    return found


class Tasks(Sequence[tuple[Float64, float, str]]):
    """What `learn` is given of each input; made when it is asked for, not a second record.

    Args:
        values: float64[n, d].
        arls: average run length in samples of each input's charts.
        called: what each is for.
    """

    def __init__(self, values: Float64, arls: Sequence[float], called: Sequence[str]) -> None:
        self._values, self._arls, self._called = values, arls, called

    def __len__(self) -> int:
        return len(self._called)

    def __getitem__(self, at: int) -> tuple[Float64, float, str]:  # type: ignore[override]
        return np.ascontiguousarray(self._values[:, at]), self._arls[at], self._called[at]


def standardised(values: Float64, items: Sequence[InputFit]) -> Float64:
    """Scans float64[n, d] as the charts of their inputs see them."""
    centre = np.array([item.centre for item in items])
    scale = np.array([item.scale for item in items])
    seen = np.ascontiguousarray(values - centre)
    seen /= scale  # in place: a record is large
    return seen


def _lasting(scores: Float64, scans: int) -> float:
    """The largest score that so many scans in a row reach."""
    if len(scores) < scans:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(scores, scans)
    return float(windows.min(axis=1).max())


def adjusted_joint(joint: JointFit, factors: Mapping[str, float]) -> JointFit:
    """Joint charts as wide as held-back time asks for, and what a person should know."""
    wide = [
        MARGIN * factors[chart.name] if factors.get(chart.name, 1.0) > 1.0 else 1.0
        for chart in JOINT_CHARTS
    ]
    notes = [
        f"{chart.name} is {factor:.2g} times as wide, by time held back"
        for chart, factor in zip(JOINT_CHARTS, wide, strict=True) if factor > 1.0
    ]
    groups = tuple(
        replace(group, limits=tuple(
            replace(limit, value=limit.value * factor)
            for limit, factor in zip(group.limits, wide, strict=True)
        )) for group in joint.groups
    )
    return replace(joint, groups=groups, notes=(*joint.notes, *notes))
