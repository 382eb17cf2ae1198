"""What is known of a model's errors in a terminal: a line or two for each output with labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.status import view

MOST: Final = 5
"""Outputs of a model that are told of; the page and the API have all of them."""


def lines(model: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """(text, whether it is trouble), what is wrong first."""
    found = sorted(view.items(model, "errors"), key=lambda one: not _is_poor(one))
    told = [line for one in found[:MOST] for line in _of(one)]
    if len(found) > MOST:
        told.append((f"and errors of {len(found) - MOST} more outputs: see the status page", False))
    return told


def _is_poor(one: Mapping[str, Any]) -> bool:
    return bool(one.get("raised") or one.get("not_assessed"))


def _of(one: Mapping[str, Any]) -> list[tuple[str, bool]]:
    told = []
    if one.get("labels") or not one.get("not_assessed"):
        told.append((f"errors of {one.get('output')}: {measured(one)}", bool(one.get("raised"))))
    if one.get("not_assessed"):
        told.append((str(one["not_assessed"]), True))
    if estimate := one.get("estimated"):
        told.append((str(estimate.get("text")), False))
    return told + [(str(text), False) for text in one.get("remarks") or ()]


def measured(one: Mapping[str, Any]) -> str:
    """What its labels say, beside training: ``errors grew: mean loss (absolute) 0.82 ...``."""
    labels = int(one.get("labels") or 0)
    if not labels:
        return "no label was compared with a prediction yet"
    latest = int(one.get("recent_labels") or 0)
    of = f"the latest {latest} of {labels:,} labels" if latest < labels else _labels(labels)
    mean = one.get("recent_loss") if latest else one.get("mean_loss")
    known = one.get("expected_loss")
    trained = f"{view.number(known)} in training" if known is not None else "training had none"
    text = f"mean loss ({one.get('loss')}) {view.number(mean)} over {of}; {trained}"
    return f"errors grew: {text}" if one.get("raised") else text


def _labels(count: int) -> str:
    return f"{count:,} label{'' if count == 1 else 's'}"
