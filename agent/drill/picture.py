"""The drill's result as a picture: a grid, inputs by faults, that says itself how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.drill.faults import Fault
from agent.drill.report import Row
from agent.errors import FieldwardenError

_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0))
_LONG = 300.0  # from a usual delay of so many of one unit on the next one is used
# Blue to orange can be told apart by those who confuse red and green.
_SHADES = ("#d95f02", "#f5f0e6", "#2c7fb8")
_BLANK: dict[str, Any] = {
    "facecolor": "#eeeeee", "edgecolor": "#999999", "hatch": "///", "linewidth": 0.0,
}  # fmt: skip


def picture(rows: Sequence[Row], path: Path, title: str, seconds: float) -> None:
    """A grid, inputs by faults: colour is the share found, the number the median delay.

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
    size = (3.2 + 0.95 * len(faults), 2.4 + 0.36 * len(tags))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    colours = mpl.colors.LinearSegmentedColormap.from_list("found", _SHADES)
    percent = 100.0 * _shares(rows, tags, faults)
    image = axes.imshow(percent, cmap=colours, vmin=0, vmax=100, aspect="auto")
    for y, x in np.argwhere(np.isnan(percent)).tolist():
        axes.add_patch(mpl.patches.Rectangle((x - 0.5, y - 0.5), 1.0, 1.0, **_BLANK))
    unit = _write_cells(axes, rows, tags, faults, seconds)
    axes.set_xticks(range(len(faults)), [_wrapped(fault.text) for fault in faults], fontsize=8)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(tags)), tags, fontsize=8)
    axes.set_title(title, fontsize=10, pad=12)
    axes.set_xlabel(
        f"number: median delay of what was found, in {unit}; with the share found above it, "
        "where that is not all",
        fontsize=8, labelpad=8,
    )  # fmt: skip
    if np.isnan(percent).any():
        key = mpl.patches.Patch(**_BLANK, label="not tried: this input can not have this fault")
        figure.legend(handles=[key], loc="outside lower center", fontsize=8, frameon=False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format="%d%%")
    bar.set_label("share found", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _shares(
    rows: Sequence[Row], tags: Sequence[str], faults: Sequence[Fault]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """float64[inputs, faults], share found, NaN where that was not tried."""
    share = np.full((len(tags), len(faults)), np.nan)
    for row in rows:
        share[tags.index(row.tag), faults.index(row.fault)] = row.found
    return share


def _write_cells(
    axes: Any, rows: Sequence[Row], tags: Sequence[str], faults: Sequence[Fault], seconds: float
) -> str:
    """What stands in the cells; the unit of its delays."""
    delays = [row.delay * seconds for row in rows if row.delay is not None]
    unit, span = unit_of(delays)
    for row in rows:
        strong = row.found >= 0.85 or row.found <= 0.15
        axes.text(
            faults.index(row.fault), tags.index(row.tag), _cell(row, seconds / span), ha="center",
            va="center", fontsize=8, color="white" if strong else "black",
        )  # fmt: skip
    return unit


def unit_of(delays: Sequence[float]) -> tuple[str, float]:
    """(name, seconds) of the one unit in which these delays, in seconds, are easy to compare."""
    usual = float(np.median(delays)) if len(delays) else 0.0
    for name, span in _UNITS[:-1]:
        if usual < _LONG * span:
            return name, span
    return _UNITS[-1]


def _cell(row: Row, units: float) -> str:
    if row.delay is None:
        return "not\nfound"
    delay = row.delay * units
    text = f"{delay:.2g}" if delay < 10 else f"{delay:,.0f}"
    return text if row.found >= 0.995 else f"{row.found:.0%}\n{text}"


def _wrapped(text: str) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 12 and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
