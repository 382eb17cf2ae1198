"""The drill's result as a picture: a grid, inputs by faults, that says itself how to read it.

Each cell is divided as its trials ended: how their cause was told, or that they were missed. In it
stand the median delay, and in words what was not as it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.drill.faults import Fault
from agent.drill.report import OUTCOMES, Row
from agent.errors import FieldwardenError

_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0))
_LONG = 300.0  # from a usual delay of so many of one unit on the next one is used
# Told apart also by those who confuse red and green, and by their lightness alone.
_COLOURS = {"right": "#a6cee3", "unknown": "#fdf3c0", "wrong": "#e07b39", "missed": "#ffffff"}
_MEANING = {
    "right": "cause told right", "unknown": "cause unknown", "wrong": "wrong cause",
    "missed": "not found",
}  # fmt: skip
_EDGE: dict[str, Any] = {"edgecolor": "#777777", "linewidth": 0.6}
_BLANK: dict[str, Any] = {
    "facecolor": "#eeeeee", "edgecolor": "#999999", "hatch": "///", "linewidth": 0.0,
}  # fmt: skip


def picture(rows: Sequence[Row], path: Path, title: str, seconds: float) -> None:
    """A grid, inputs by faults: colour is how the cause was told, the number the median delay.

    Args:
        rows: of `report.rows_of`; what was not tried, for the input can not have it, is hatched.
        path: PNG or SVG, by its ending.
        title: over the grid.
        seconds: between samples; delays are shown in one unit of time, named below the grid.

    Raises:
        FieldwardenError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 only a picture needs it
    except ModuleNotFoundError as error:
        raise FieldwardenError(
            "drawing", str(path), "this needs matplotlib", "pip install 'fieldwarden[fit]'"
        ) from error
    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    tags = list(dict.fromkeys(row.tag for row in rows))
    faults = list(dict.fromkeys(row.fault for row in rows))
    size = (3.2 + 0.95 * len(faults), 2.6 + 0.5 * len(tags))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set_xlim(-0.5, len(faults) - 0.5)
    axes.set_ylim(len(tags) - 0.5, -0.5)
    tried = np.zeros((len(tags), len(faults)), bool)
    unit, span = unit_of([row.delay * seconds for row in rows if row.delay is not None])
    for row in rows:
        y, x = tags.index(row.tag), faults.index(row.fault)
        tried[y, x] = True
        _draw(mpl, axes, row, x, y, seconds / span)
    for y, x in np.argwhere(~tried).tolist():
        axes.add_patch(mpl.patches.Rectangle((x - 0.5, y - 0.5), 1.0, 1.0, **_BLANK))
    _label(axes, tags, faults, title)
    axes.set_xlabel(f"number: median delay of what was found, in {unit}", fontsize=8, labelpad=8)
    keys = [
        mpl.patches.Patch(facecolor=_COLOURS[one], label=_MEANING[one], **_EDGE)
        for one in OUTCOMES if any(row.outcomes[one] for row in rows)
    ]
    if not tried.all():
        label = "not tried: this input can not have this fault"
        keys.append(mpl.patches.Patch(**_BLANK, label=label))
    figure.legend(
        handles=keys, loc="outside lower center", fontsize=8, frameon=False, ncols=len(keys)
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw(mpl: Any, axes: Any, row: Row, x: int, y: int, units: float) -> None:
    """One cell: a strip for each outcome, as wide as its share, and what stands over them."""
    left = x - 0.5
    for outcome in OUTCOMES:
        share = row.outcomes[outcome] / row.trials
        axes.add_patch(
            mpl.patches.Rectangle((left, y - 0.5), share, 1.0, facecolor=_COLOURS[outcome])
        )
        left += share
    axes.add_patch(mpl.patches.Rectangle((x - 0.5, y - 0.5), 1.0, 1.0, fill=False, **_EDGE))
    axes.text(x, y, _cell(row, units), ha="center", va="center", fontsize=7.5, linespacing=1.1)


def _label(axes: Any, tags: Sequence[str], faults: Sequence[Fault], title: str) -> None:
    axes.set_xticks(range(len(faults)), [_wrapped(fault.text) for fault in faults], fontsize=8)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(tags)), tags, fontsize=8)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=10, pad=12)


def unit_of(delays: Sequence[float]) -> tuple[str, float]:
    """(name, seconds) of the one unit in which these delays, in seconds, are easy to compare."""
    usual = float(np.median(delays)) if len(delays) else 0.0
    for name, span in _UNITS[:-1]:
        if usual < _LONG * span:
            return name, span
    return _UNITS[-1]


def _cell(row: Row, units: float) -> str:
    """The delay, and how many trials did not end as they should."""
    if row.delay is None:
        return "not\nfound"
    delay = row.delay * units
    lines = [f"{delay:.2g}" if delay < 10 else f"{delay:,.0f}"]
    poor = [(one, row.outcomes[one]) for one in OUTCOMES[1:] if row.outcomes[one]]
    for outcome, count in poor:
        lines.append(outcome if count == row.trials else f"{count} {outcome}")
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 12 and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
