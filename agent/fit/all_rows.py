"""What is known of all rows of a record of which a fit saw some stretches: extremes and gaps.

Limits come from the stretches. The trained range is that of all rows, and the range chart reaches
as far: a value that the record has is not out of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from agent.core.kernels import DETECTORS
from agent.core.kernels import range as trained_range
from agent.core.kinds import transforms
from agent.fit.record import far_off
from agent.fit.univariate import InputFit
from agent.records.table import Extremes, Selection
from agent.types import Float64


def with_all_rows(
    item: InputFit, column: Float64, selection: Selection | None, *, tag: str, kind: str
) -> InputFit:
    """An input's fit, with what all rows say; as it is where the table has them all.

    Args:
        item: fitted on the stretches.
        column: float64[n] of them, in the tag's unit.
        selection: what all rows say; None where the table has them all.
        tag: of the input.
        kind: of the tag; one that is judged by its rate or on a circle keeps its range.
    """
    if selection is None or tag not in selection.extremes:
        return item
    item = replace(item, longest_gap=selection.gaps[tag])
    if transforms(kind) or item.constant:
        return item
    low, high = reach(column, item.trained, selection.extremes[tag])
    charts = dict(item.detectors)
    charts[trained_range.NAME] = _reaching(
        charts[trained_range.NAME], (low - item.centre) / item.scale,
        (high - item.centre) / item.scale,
    )  # fmt: skip
    return replace(item, trained=(low, high), detectors=charts)


def reach(column: Float64, trained: tuple[float, float], found: Extremes) -> tuple[float, float]:
    """The trained range over all rows, by the rule by which a record of its own has one.

    Of the values beyond what may be far off the rest, the `Extremes` know the most extreme ones.
    """
    least, most = far_off(column[np.isfinite(column)])
    far = sum(count for value, count in found.low if value < least)
    far += sum(count for value, count in found.high if value > most)
    if far > 0.001 * found.count + 1 or not most > least:
        return min(trained[0], found.low[0][0]), max(trained[1], found.high[-1][0])
    low = [value for value, _ in found.low if value >= least]
    high = [value for value, _ in found.high if value <= most]
    return min([trained[0], *low]), max([trained[1], *high])


def _reaching(chart: dict[str, Any], low: float, high: float) -> dict[str, Any]:
    if chart == next(dict(d.disabled) for d in DETECTORS if d.name == trained_range.NAME):
        return chart
    low = min(low, chart["middle"] - chart["half"])
    high = max(high, chart["middle"] + chart["half"])
    return chart | {"middle": (high + low) / 2, "half": (high - low) / 2}
