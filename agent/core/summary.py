"""Summaries: one window of one input of one model, exact and additive.

All fields are integers or order statistics on the baseline's scale, so summaries merge by addition
in any order to the same bits: windows into longer ones, gateways into fleets. Different baselines
refuse to merge, because their bins and scales mean different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.core import loss
from agent.core.seen import UNITS_PER_SD, Seen
from agent.errors import FieldwardenError

SCHEMA = 1
_SAME = ("model", "tag", "baseline", "centre", "scale")


def summary_of(
    model: str, tag: str, baseline: str, centre: float, scale: float, start_ns: int, end_ns: int,
    counts: Any, histogram: np.ndarray[Any, Any], seen: Seen, *, unit: str = "",
    per_hour: bool = False,
) -> dict[str, Any]:
    """One window's summary; sums, `min` and `max` count 1/1024 standard deviations.

    `min` and `max` are None where nothing was good. `unit` is of what is summed, `per_hour` says
    that it is how far a counter goes in an hour.
    """
    good = int(counts["good"])
    return {
        "model": model, "tag": tag, "baseline": baseline, "centre": centre, "scale": scale,
        "start_ns": start_ns, "end_ns": end_ns, "count": int(counts["count"]), "good": good,
        "sum": int(counts["sum"]), "sum_sq": int(counts["sum_sq"]),
        "min": _units(counts["min"]) if good else None,
        "max": _units(counts["max"]) if good else None,
        "histogram": histogram.tolist(), **seen._asdict(), "unit": unit, "per_hour": per_hour,
    }


def _units(z: float) -> int:
    """A standardised value in whole 1/1024 standard deviations, as the sums are."""
    return round(min(max(float(z), -1e9), 1e9) * UNITS_PER_SD)


def merge(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of both windows; commutative and associative, to the bit.

    Raises:
        FieldwardenError: another model, tag or baseline.
    """
    for key in _SAME:
        if a[key] != b[key]:
            raise FieldwardenError(
                "merging summaries", f"{a['model']}/{a['tag']}", f"{key} {a[key]!r} and {b[key]!r}",
                "merge only what the same baseline was used for",
            )
    merged = {key: a[key] for key in _SAME}
    merged |= {
        "start_ns": min(a["start_ns"], b["start_ns"]),
        "end_ns": max(a["end_ns"], b["end_ns"]),
        "min": _pick(min, a["min"], b["min"]),
        "max": _pick(max, a["max"], b["max"]),
        "histogram": [x + y for x, y in zip(a["histogram"], b["histogram"], strict=True)],
    }
    merged |= {key: a[key] + b[key] for key in ("count", "good", "sum", "sum_sq")}
    # Windows that an earlier version closed do not count scans, nor say of what they are.
    merged |= {"unit": a.get("unit") or b.get("unit", ""),
               "per_hour": bool(a.get("per_hour") or b.get("per_hour"))}  # fmt: skip
    merged |= {key: a.get(key, 0) + b.get(key, 0) for key in Seen._fields}
    return merged | loss.merged(a, b)


def _pick(choose: Any, x: int | None, y: int | None) -> int | None:
    present = [value for value in (x, y) if value is not None]
    return choose(present) if present else None


def mean_and_sd(summary: Mapping[str, Any]) -> tuple[float, float]:
    """Mean and standard deviation of a window in the tag's unit (NaN where nothing was good)."""
    good = summary["good"]
    if not good:
        return float("nan"), float("nan")
    mean = summary["sum"] / good / UNITS_PER_SD
    variance = max(summary["sum_sq"] / good / UNITS_PER_SD**2 - mean * mean, 0.0)
    scale = summary["scale"]
    return summary["centre"] + mean * scale, float(np.sqrt(variance)) * scale
