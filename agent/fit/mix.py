"""The class mix of an output: in what shares it gave its classes, and how far they may go.

The share of each class in a block of decisions is charted as block means of its indicator are (see
`univariate`): limits come from a bootstrap of the record, with its long-run deviation, so that
classes that go along for a while ask for no more alarms.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

from agent.core.kernels import OUTPUT_CHARTS, category, mix
from agent.fit.category import read_states
from agent.fit.held_back import MARGIN, MOST, least, parts, widened
from agent.fit.record import dynamics, read_record
from agent.fit.univariate import DRIFT_SHIFT, LEVEL_BLOCK, Chart
from agent.types import Float64

_LEAST_BLOCK = 16
_FEWEST_BLOCKS = 16
_FEWEST_OF_CLASS = 20
"""Decisions for a class that a record must have for its share to be charted."""

NO_CLASSES = "it gives no classes"
"""Why there is no chart of an output that takes more values, or other ones than whole numbers."""

_DETECTOR = next(one for one in OUTPUT_CHARTS if one.name == mix.NAME)


def fit_mix(
    series: Float64, *, centre: float, scale: float, interval_ns: int, arl: float, name: str
) -> tuple[dict[str, Any], str]:
    """(parameters of `kernels.mix`, why there are none; one of the two is empty).

    Args:
        series: float64[n], an output's values at its own interval, NaN where missing.
        centre: of the standardised output.
        scale: of the same.
        interval_ns: of the series.
        arl: decisions between two false alarms.
        name: of the output.
    """
    found, why = _fitted(series, centre, scale, arl, name)
    factor = 1.0
    for part in parts(len(series)) if found else []:
        lead, _ = _fitted(series[part.lead], centre, scale, arl, name)
        follow = series[part.follow]
        usable = np.isfinite(follow)
        if lead and usable.any():
            z = np.ascontiguousarray((follow[usable] - centre) / scale)
            times = np.flatnonzero(usable).astype(np.int64) * interval_ns + interval_ns
            factor = max(factor, least(_DETECTOR, lead, z, times))
    if factor > MOST:
        return {}, "its classes come in other shares on time held back"
    return (widened(_DETECTOR, found, MARGIN * factor) if factor > 1.0 else found), why


def _fitted(
    series: Float64, centre: float, scale: float, arl: float, name: str
) -> tuple[dict[str, Any], str]:
    record = read_record(series, name)
    states = read_states(record, sure=True)
    if record.constant or states is None or len(states.codes) < 2:
        return {}, NO_CLASSES
    raw = record.z * record.scale + record.centre
    given = np.abs(raw[:, None] - states.codes[None, :]) <= category.NEAR
    if int(given.sum(axis=0).min()) < _FEWEST_OF_CLASS:
        return {}, f"a class comes fewer than {_FEWEST_OF_CLASS} times in the record"
    share = given.mean(axis=0)
    spread = np.sqrt(share * (1.0 - share))
    z = (given - share) / spread
    moves = [dynamics(np.ascontiguousarray(z[:, c])) for c in range(len(share))]
    block = max(ceil(max(_LEAST_BLOCK, one.quick * LEVEL_BLOCK)) for one in moves)
    if len(z) < _FEWEST_BLOCKS * block:
        return {}, "the record is too short to show its shares"
    rng = np.random.default_rng(0)
    k, h, inverse_sd = [], [], []
    for c, one in enumerate(moves):
        sums = np.concatenate([[0.0], np.cumsum(z[:, c])])
        means = (sums[block:] - sums[:-block]) / block
        deviation = float(np.sqrt(one.long_run / block))
        known = (len(z) / block, one.freedom)
        chart = Chart(means - means.mean(), deviation, known, block, rng)
        limits = chart.limits(DRIFT_SHIFT / 2 / deviation, arl * len(share))
        k.append(limits["k"])
        h.append(max(limits["h_up"], limits["h_down"]))
        inverse_sd.append(1.0 / (float(spread[c]) * deviation))
    codes = [float(code) for code in (states.codes - centre) / scale]
    return {
        "block": block, "count": len(codes), "tolerance": category.NEAR / scale,
        "values": _filled(codes), "share": _filled([float(one) for one in share]),
        "inverse_sd": _filled(inverse_sd), "k": _filled(k), "h": _filled(h, 1.0),
    }, ""


def _filled(values: list[float], rest: float = 0.0) -> list[float]:
    return [float(one) for one in values] + [rest] * (category.MOST - len(values))
