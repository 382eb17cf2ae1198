"""Pictures of a report, as SVG that stands in the page; the same figures give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

from agent.errors import FieldwardenError

COLOURS = {
    "trusted": "#4c956c", "caution": "#e9c46a", "untrusted": "#c8553d", "unassessable": "#8d99ae",
    "not watched": "#ffffff",
}  # fmt: skip
_LEVELS = {
    "untrusted": 1.0, "unassessable": 0.78, "caution": 0.55, "trusted": 0.3, "not watched": 0.08,
}  # fmt: skip
_TRAINED, _NOW = "#9aa5b1", "#1f77b4"


def _pyplot() -> Any:
    try:
        import matplotlib as mpl  # noqa: PLC0415 only a report needs it
    except ModuleNotFoundError as error:
        raise FieldwardenError(
            "drawing", "the report", "this needs matplotlib", "pip install 'fieldwarden[report]'"
        ) from error
    mpl.use("agg")
    # Names of parts of the picture are else made up anew each time.
    mpl.rcParams |= {"svg.hashsalt": "fieldwarden", "svg.fonttype": "none", "font.size": 9}
    import matplotlib.pyplot as plt  # noqa: PLC0415

    return plt


def _svg(figure: Any, plt: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def verdicts(spans: Sequence[Mapping[str, Any]], since_ns: int, until_ns: int) -> str:
    """The verdicts of a time as one band, in UTC; the higher, the worse: no colour is needed.

    A verdict that stands for other reasons is the same one: it is drawn in one piece.
    """
    import numpy as np  # noqa: PLC0415

    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(9, 1.1), layout="constrained")
    for verdict, group in groupby(spans, key=itemgetter("verdict")):
        run = list(group)
        start, end = np.datetime64(run[0]["start_ns"], "ns"), np.datetime64(run[-1]["end_ns"], "ns")
        high = _LEVELS[verdict]
        axes.barh([high / 2], [end - start], left=[start], height=high, color=COLOURS[verdict])
    axes.set_xlim(np.datetime64(since_ns, "ns"), np.datetime64(until_ns, "ns"))
    axes.set_ylim(0.0, 1.0)
    axes.set_yticks([])
    axes.set_xlabel("UTC")
    return _svg(figure, plt)


def losses(told: Mapping[str, Any], since_ns: int, until_ns: int) -> str:
    """Mean loss over time beside what training lets expect, and how many labels it is of."""
    if not told["over_time"]:
        return ""
    import numpy as np  # noqa: PLC0415

    plt = _pyplot()
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 2.8), layout="constrained", sharex=True, height_ratios=[3, 1]
    )
    start = np.array([one["start_ns"] for one in told["over_time"]], "datetime64[ns]")
    end = np.array([one["end_ns"] for one in told["over_time"]], "datetime64[ns]")
    middle = start + (end - start) // 2
    means = [one["mean"] for one in told["over_time"]]
    above.plot(middle, means, "o-", color=_NOW, markersize=3, linewidth=1, label="mean loss")
    if told["expected"] is not None:
        above.axhline(told["expected"], color=_TRAINED, linewidth=2, label="in training")
        above.axhline(told["expected"] * (1 + told["tolerance"]), color=_TRAINED, linewidth=1,
                      linestyle="--", label="tolerated")  # fmt: skip
    known = [*means, told["expected"] or 0.0]
    above.set_ylim(0.0, 1.2 * max(known) or 1.0)
    above.set_ylabel(f"{told['loss']} loss")
    above.legend(frameon=False, fontsize=8, ncols=3)
    below.bar(start, [one["labels"] for one in told["over_time"]], width=end - start,
              align="edge", color=_TRAINED)  # fmt: skip
    below.set_ylabel("labels")
    below.set_xlabel("UTC")
    below.set_xlim(np.datetime64(since_ns, "ns"), np.datetime64(until_ns, "ns"))
    return _svg(figure, plt)


def trained_against_now(item: Mapping[str, Any]) -> str:
    """The densities of an input, in training and now; empty where nothing was seen.

    The bins hold equal shares of the training record, so a bin's density there is told by its
    width; the outermost end with the trained range, or what lies further is put into them.
    """
    edges = item["edges"]
    counts = (item["histogram"] or [])[: len(edges) + 1]  # of few distinct values there are less
    if not edges or not sum(counts):
        return ""
    low, high = item["trained"]
    ends = [min(low, edges[0]), *edges, max(high, edges[-1])]
    widths = [max(b - a, 1e-12 * max(abs(a), abs(b), 1.0)) for a, b in pairwise(ends)]
    whole = sum(counts)
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(3.6, 1.6), layout="constrained")
    axes.stairs([1 / len(counts) / w for w in widths], ends, fill=True, color=_TRAINED,
                label="trained")  # fmt: skip
    axes.stairs([n / whole / w for n, w in zip(counts, widths, strict=True)], ends, color=_NOW,
                linewidth=1.6, label="now")  # fmt: skip
    axes.set_yticks([])
    axes.set_xlabel(item["unit"] or "")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure, plt)
