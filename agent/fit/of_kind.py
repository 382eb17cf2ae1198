"""An input's charts as its kind asks for: what a person has confirmed counts more than the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.core.kernels import category, stuck
from agent.core.kinds import ALIKE, QUANTISED, STATE
from agent.fit.category import fit_category, read_states
from agent.fit.kinds import Judged, without_charts
from agent.fit.record import read_record
from agent.fit.univariate import InputFit
from agent.types import Float64


def of_kind(item: InputFit, *, kind: str, judged: Judged, column: Float64, name: str) -> InputFit:
    """The fit of an input, with the charts of its kind alone and as the kind asks for.

    Args:
        item: the fit, whatever the kind.
        kind: of the tag.
        judged: what its column was made of.
        column: float64[n], as it is judged.
        name: of the tag, for errors.
    """
    item = replace(
        item, detectors=without_charts(kind, item.detectors), notes=(*item.notes, *judged.notes)
    )
    if kind == STATE:
        return _of_states(item, column, name)
    return _of_steps(item, column) if kind == QUANTISED else item


def _of_states(item: InputFit, column: Float64, name: str) -> InputFit:
    """Judged by its states: a person says that it has some, however few visits show them."""
    states = read_states(read_record(column, name), sure=True)
    if states is None:
        note = (
            f"its kind is state, but it takes more than {category.MOST} values, or no whole "
            "numbers: only its arrival is judged"
        )
        return replace(item, notes=(*item.notes, note))
    parameters, text, note = fit_category(states, item, item.interval_ns, sure=True)
    return replace(
        item, detectors={**item.detectors, category.NAME: parameters}, notes=(note,),
        thresholds={category.NAME: text}, provisional=False, needed=0,
    )  # fmt: skip


def _of_steps(item: InputFit, column: Float64) -> InputFit:
    """Values within a part of the instrument's step are equal, and one step is its resolution."""
    step = smallest_step(column)
    if not step > 0.0:
        return item
    found = dict(item.detectors[stuck.NAME])
    found["tolerance"] = max(found["tolerance"], ALIKE * step / item.scale)
    return replace(item, detectors={**item.detectors, stuck.NAME: found}, resolution=step)


def smallest_step(column: Float64) -> float:
    """The smallest step between values float64[n] of an instrument; 0 where it has one value."""
    gaps = np.diff(np.unique(column[np.isfinite(column)]))
    return float(gaps.min()) if len(gaps) else 0.0
