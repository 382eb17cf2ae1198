"""An assessment in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NAMED: Final = 3


def text_of(found: Mapping[str, Any]) -> str:
    """One or two sentences: how far back, and the models that it changes most."""
    models = found["models"]
    if not models:
        return "no model has to do with these tags"
    if not any(one["scans"] for one in models.values()):
        return f"touches {_named(list(models))}; nothing of before it could be replayed"
    order = sorted(models, key=lambda name: (-models[name]["share"], name))
    told = "; ".join(model_text(name, models[name]) for name in order[:_NAMED])
    more = f"; and {len(order) - _NAMED} models more" if len(order) > _NAMED else ""
    over = span_text(found["to_ns"] - found["from_ns"])
    if found["basis"] == "held samples":
        return f"Held samples of {over}, let through as they are: {told}{more}"
    return f"{over} before it, with this change: {told}{more}"


def model_text(name: str, one: Mapping[str, Any]) -> str:
    """What it does to one model."""
    if not one["scans"]:
        return f"{name} had no scan"
    if not one["changed"]:
        return f"{name} keeps its verdict in all {one['scans']} scans"
    was, then = (_most(one["verdicts"][side]) for side in ("now", "then"))
    told = f"{name} has another verdict in {percent(one['share'])} of {one['scans']} scans"
    return told + (f" ({was} becomes {then})" if was != then else f" (mostly {then})")


def percent(share: float) -> str:
    """A share as people read it; never 0 % nor 100 % where it is not."""
    if 0.0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1.0:
        return "over 99.9 %"
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def span_text(span_ns: int) -> str:
    """A span of time as people say it."""
    seconds = max(span_ns, 0) / 1e9
    for unit, size in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}".replace(".0 ", " ")
    return f"{seconds:.0f} seconds"


def _most(counts: Mapping[str, int]) -> str:
    return max(counts, key=lambda name: counts[name])


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
