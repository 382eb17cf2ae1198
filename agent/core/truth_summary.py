"""Summaries of losses: what the truths of one window say, exact and additive."""

from __future__ import annotations

from typing import Any

from agent.core.seen import Seen
from agent.core.spec import EngineSpec
from agent.core.truth import Truth


def summaries_of(
    spec: EngineSpec, truth: Truth, start_ns: int, end_ns: int
) -> list[dict[str, Any]]:
    """A summary of each label that had a truth; a new window begins.

    It has the keys of any summary, under the label's own name, as its output has windows too;
    `count` are its truths, and no value of them is summed.
    """
    made = []
    for model, label, sums in truth.windows():
        found = spec.models[model]
        made.append(
            {
                "model": found.name, "tag": label.name,
                "baseline": found.baseline.digest,
                "centre": 0.0, "scale": 1.0, "start_ns": start_ns, "end_ns": end_ns,
                "count": sums["losses"]["count"] + sums["losses_left_out"]["count"], "good": 0,
                "sum": 0, "sum_sq": 0, "min": None, "max": None, "histogram": [],
                **Seen(0, 0, 0)._asdict(), "unit": "", "per_hour": False, **sums,
            }
        )  # fmt: skip
    return made
