"""The drill's result as rows, as a table for the terminal, and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.drill.faults import Fault
from agent.drill.trials import Quiet, Trial
from agent.errors import FieldwardenError


@dataclass(frozen=True, slots=True)
class Row:
    """One fault on one input: share found, median delay in samples (None: never), usual name.

    `right` is the share of those found that got a right name (None: none was found).
    """

    tag: str
    fault: Fault
    trials: int
    found: float
    delay: float | None
    right: float | None
    name: str
    cause: str


def rows_of(trials: Sequence[Trial]) -> list[Row]:
    """Trials of the same fault and input together, in the order in which they came."""
    grouped: dict[tuple[str, Fault], list[Trial]] = {}
    for trial in trials:
        grouped.setdefault((trial.tag, trial.fault), []).append(trial)
    made = []
    for (tag, fault), group in grouped.items():
        hits = [trial for trial in group if trial.found]
        names = Counter((trial.name, trial.cause) for trial in hits).most_common(1)
        name, cause = names[0][0] if names else ("", "")
        delay = float(np.median([trial.delay for trial in hits])) if hits else None
        right = sum(trial.right for trial in hits) / len(hits) if hits else None
        made.append(Row(tag, fault, len(group), len(hits) / len(group), delay, right, name, cause))
    return made


def document(
    rows: Sequence[Row], calm: Quiet, promised: float,
    without: Sequence[tuple[str, Fault, str]] = (),
) -> dict[str, object]:  # fmt: skip
    """JSON-ready: every row, and false alarms beside what was promised for the same length.

    `without` is what `trials.left_out` says.
    """
    return {
        "faults": [
            {
                "input": row.tag, "fault": row.fault.text, "kind": row.fault.kind,
                "size": row.fault.size, "hard": row.fault.hard, "trials": row.trials,
                "found": row.found, "delay_samples": row.delay, "named_right": row.right,
                "name": row.name, "cause": row.cause,
            }
            for row in rows
        ],
        "left_out": [
            {"input": tag, "fault": fault.text, "why": why} for tag, fault, why in without
        ],
        "false_alarms": calm.alarms, "false_alarms_promised": promised, "rows": calm.rows,
        "not_trusted": calm.not_trusted,
    }  # fmt: skip


def left_out_text(without: Sequence[tuple[str, Fault, str]]) -> list[str]:
    """A line for each reason: the faults that were not tried, and on how many inputs."""
    grouped: dict[str, tuple[list[str], list[str]]] = {}
    for tag, fault, why in without:
        tags, faults = grouped.setdefault(why, ([], []))
        tags.append(tag)
        faults.append(fault.text)
    lines = []
    for why, (tags, faults) in grouped.items():
        named = list(dict.fromkeys(tags))
        shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        lines.append(f"not tried on {shown} ({why}): {', '.join(dict.fromkeys(faults))}")
    return lines


def picture(rows: Sequence[Row], path: Path, title: str, seconds: float) -> None:
    """A grid, inputs by faults: colour is the share found, the number the median delay.

    Args:
        rows: of `rows_of`.
        path: PNG or SVG, by its ending.
        title: over the grid.
        seconds: between samples, so that delays read in seconds.

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
    share = np.full((len(tags), len(faults)), np.nan)
    for row in rows:
        share[tags.index(row.tag), faults.index(row.fault)] = row.found
    size = (3.2 + 0.95 * len(faults), 2.0 + 0.36 * len(tags))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    # Blue to orange can be told apart by those who confuse red and green.
    shades = ["#d95f02", "#f5f0e6", "#2c7fb8"]
    colours = mpl.colors.LinearSegmentedColormap.from_list("found", shades)
    image = axes.imshow(share, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for row in rows:
        strong = row.found >= 0.85 or row.found <= 0.15
        axes.text(
            faults.index(row.fault), tags.index(row.tag), _cell(row, seconds), ha="center",
            va="center", fontsize=8, color="white" if strong else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(faults)), [_wrapped(fault.text) for fault in faults], fontsize=8)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(tags)), tags, fontsize=8)
    axes.set_title(title, fontsize=10, pad=12)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share found; number: median delay")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _cell(row: Row, seconds: float) -> str:
    if row.delay is None:
        return "not\nfound"
    delay = row.delay * seconds
    text = f"{delay:.3g} s" if delay < 120 else f"{delay / 60:.3g} min"
    return text if row.found >= 0.995 else f"{row.found:.0%}\n{text}"


def _wrapped(text: str) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 12 and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
