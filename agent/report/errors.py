"""A model's errors against labels over a stretch of time, from the windows that the store keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.configuration.schema import Label, Model
from agent.core.baseline import Baseline
from agent.core.loss import LossSums
from agent.core.spec import label_name

POINTS: Final = 120  # of a chart over time, at most


def errors(
    model: Model, baseline: Baseline, windows: Sequence[Mapping[str, Any]], since_ns: int,
    until_ns: int,
) -> list[dict[str, Any]]:
    """Of each label of the model: how many truths came, what its losses were beside training."""
    return [_of(label, baseline, windows, since_ns, until_ns) for label in model.labels]


def _of(
    label: Label, baseline: Baseline, windows: Sequence[Mapping[str, Any]], since_ns: int,
    until_ns: int,
) -> dict[str, Any]:
    name = label_name(label.loss, label.of, label.tag)
    every = [one for one in windows if one["tag"] == name and one.get("losses")]
    own = [one for one in every if one["baseline"] == baseline.digest]
    learnt = baseline.losses.get(f"{label.loss} of {label.of}")
    whole, left_out = _sum(own, "losses"), _sum(own, "losses_left_out")
    usable = whole.count if whole else 0
    return {
        "label": name, "output": label.of, "tag": label.tag, "loss": label.loss,
        "labels": usable, "unusable": whole.unusable if whole else 0,
        "left_out": left_out.count if left_out else 0,
        "mean": whole.mean if usable and whole else None,
        "expected": learnt.risk if learnt else None, "tolerance": label.tolerance,
        "last_ns": max((one["end_ns"] for one in own if one["losses"]["count"] > 0), default=None),
        "confusion": whole.to_json()["confusion"] if whole else [],
        "over_time": _over_time(own, since_ns, until_ns),
        "windows_of_other_baselines": len(every) - len(own),
    }


def _sum(windows: Sequence[Mapping[str, Any]], key: str) -> LossSums | None:
    found = [LossSums.from_json(one[key]) for one in windows if one.get(key)]
    whole = found[0] if found else None
    for one in found[1:]:
        whole = whole.merge(one) if whole else one
    return whole


def _over_time(
    windows: Sequence[Mapping[str, Any]], since_ns: int, until_ns: int
) -> list[dict[str, Any]]:
    """Labels and mean loss in stretches of equal length; those without a label are left out.

    A correction counts where it comes, so a stretch with nothing but corrections has no mean.
    """
    step = max(1, -(-(until_ns - since_ns) // POINTS))
    places: dict[int, list[Mapping[str, Any]]] = {}
    for one in windows:
        places.setdefault((max(one["start_ns"], since_ns) - since_ns) // step, []).append(one)
    found = []
    for place, some in sorted(places.items()):
        sums = _sum(some, "losses")
        if sums is not None and sums.count:
            start = since_ns + place * step
            found.append({
                "start_ns": start, "end_ns": min(start + step, until_ns), "labels": sums.count,
                "mean": sums.mean,
            })  # fmt: skip
    return found
